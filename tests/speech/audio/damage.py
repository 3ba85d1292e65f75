"""Kinds of trouble in the bytes of a file: wrong sizes, bytes before it or changed inside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speech.audio.forms import ALL, COUNTED, Case, hum, make_of, plain
from speech.recordings import BURSTS, SECONDS, bursts, recording

if TYPE_CHECKING:
    import random


def counts(chance: random.Random) -> Case:
    """Sizes of other containers are off: by some bytes, by half, or a placeholder."""
    kind = chance.choice(["more", "half", "unknown"])
    name, row, mark, behind, width, order = chance.choice(COUNTED)
    make = replace(make_of(row), options=(("rf64", "always"),) if name == "rf64" else ())
    data = recording(make, bursts(row[2]) + hum(row[2]))
    at = data.index(mark) + behind
    size = int.from_bytes(data[at : at + width], order)
    value = {"more": size + 44, "half": size // 2 // 24 * 24, "unknown": 0}[kind]
    data = data[:at] + value.to_bytes(width, order) + data[at + width :]
    if kind == "half" and row[1] == "alac":
        kind = "half, but for its packet table"
    notices = frozenset({"audio_damaged"} if kind == "half" else ())
    return Case(f"counts {name} {row} {kind}", data, BURSTS, notices)


def ahead(chance: random.Random) -> Case:
    """A tag, zeros, text or a byte order mark stand before the recording."""
    row = chance.choice([row for row in ALL if row[0] not in ("adts", "vob", "mpegts", "w64")])
    size = chance.choice([1, 500, 5_000, 40_000])
    made = {
        "tag": b"ID3\4\0\0" + bytes([0, 0, size >> 7 & 127, size & 127]) + bytes(size % (1 << 14)),
        "zeros": bytes(size),
        "text": b"ICY 200 OK\r\nicy-name: radio\r\n\r\n",
        "mark": b"\xef\xbb\xbf",
    }
    kind = chance.choice([*made])
    return Case(f"ahead {row} {kind} {size}", made[kind] + plain(row, chance), BURSTS)


def hurt(chance: random.Random) -> Case:
    """Some bytes in the middle of the file are others."""
    forms = ("mp4", "mov", "mpegts", "vob", "ogg", "wav", "caf", "mp3")
    row = chance.choice([row for row in ALL if row[0] in forms])
    noise = np.random.default_rng(chance.randrange(1 << 30)).standard_normal
    quiet = 0.004 * noise(round(SECONDS * row[2])).astype(np.float32)
    data = bytearray(recording(make_of(row), bursts(row[2]) + quiet))
    at, size = round(chance.uniform(0.55, 0.62) * len(data)), chance.choice([1, 4, 12])
    data[at : at + size] = chance.randbytes(size)
    maybe = frozenset({"audio_damaged", "audio_gap", "audio_truncated"})
    return Case(f"hurt {row} {at} {size}", bytes(data), BURSTS, maybe=maybe, noise=True)


def unpaged(chance: random.Random) -> Case:
    """A page of an Ogg stream is missing, or its header is damaged."""
    row = chance.choice([row for row in ALL if row[0] == "ogg"])
    starts = (0.4, 1.1, 4.4, 5.1, 6.2, 8.4, 9.1, 10.2)
    data = recording(make_of(row), bursts(row[2], seconds=11.0, at=starts))
    places = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    # pages of a second: that which ends by 4.2 s has no burst but in Vorbis, whose first is longer
    place = next(n for n, at in enumerate(places) if _granule_s(data, at, row[2]) > 3.3)
    at, end = places[place], places[place + 1]
    if chance.random() < 0.5:
        data = data[:at] + data[end:]
    else:
        data = data[:at] + bytes(chance.choice([4, 20])) + data[at + 20 :]
    notices = frozenset({"audio_damaged", "audio_gap"})
    kept = tuple(start for start in starts if start < 2.0 or start > 4.5)
    return Case(f"unpaged {row} {place}", data, kept, notices, noise=True)


def _granule_s(data: bytes, at: int, rate: int) -> float:
    return int.from_bytes(data[at + 6 : at + 14], "little", signed=True) / rate
