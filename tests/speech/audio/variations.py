"""Kinds of trouble that people's recordings have, each varied at random.

A kind makes a recording of three bursts and gives their expected times and expected notices.
`python tests/speech/audio/variations.py --count N --seed S` tries as many as one likes.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from glagol.core.errors import GlagolError
from glagol.speech.audio.decode import decode
from speech.audio.damage import ahead, counts, hurt, unpaged
from speech.audio.forms import ALL, NOISY, PLAIN, STAMPED, STEREO, Case, hum, make_of, plain
from speech.made import RATE
from speech.recordings import BURST_S, BURSTS, PICTURES, SECONDS, bursts, bursts_at, recording

APART_S = 0.05
LOST_S = 0.15


def check(case: Case) -> str:
    """What is wrong with the outcome; empty when nothing is."""
    try:
        source = decode(io.BytesIO(case.data), max_seconds=600.0, track=case.track)
        samples = np.concatenate(list(source))
    except GlagolError as error:
        return f"{error.code}: {error.message}"
    found = bursts_at(samples)
    for start in case.starts:
        if not any(abs(start - each) <= APART_S for each in found):
            return f"bursts at {found}, not at {start:.3f}"
    if not case.noise and len(found) != len(case.starts):
        return f"bursts at {found}, expected {case.starts}"
    codes = {notice.code for notice in source.warnings}
    if not case.notices <= codes <= case.notices | case.maybe:
        return f"notices {sorted(codes)}, expected {sorted(case.notices)}"
    return ""


def whole(chance: random.Random) -> Case:
    """Nothing is wrong: there is no notice."""
    row = chance.choice(ALL)
    return Case(f"whole {row}", plain(row, chance), BURSTS)


def late(chance: random.Random) -> Case:
    """The sound begins later than the picture."""
    row = chance.choice([row for row in STAMPED if row[0] in PICTURES])
    by = chance.uniform(0.1, 9.0)
    make = replace(make_of(row), late_s=by, picture=True)
    starts = tuple(start + by for start in BURSTS)
    return Case(f"late {row} {by:.3f}", recording(make, bursts(row[2])), starts)


def pause(chance: random.Random) -> Case:
    """Time stamps jump at some second and continue later."""
    row = chance.choice(STAMPED)
    at, by = chance.choice([0.6, 0.8, 1.3, 1.9]), chance.choice([0.2, 0.35, 0.6, 1.5, 20.0])
    make = replace(
        make_of(row), pause=(at, by), picture=row[0] in PICTURES and chance.random() < 0.5
    )
    starts = tuple(start + (by if start >= at else 0.0) for start in BURSTS)
    notices = frozenset({"audio_gap"} if by > 0.5 else ())
    return Case(f"pause {row} {at} {by}", recording(make, bursts(row[2])), starts, notices)


def lost(chance: random.Random) -> Case:
    """Packets are missing, and the stamps say so."""
    row = chance.choice(STAMPED)
    length = chance.choice([0.1, 0.2, 0.6])
    at = 1.2 + chance.uniform(0.0, 0.85 - length)
    make = replace(make_of(row), lost=(at, at + length))
    notices = frozenset({"audio_gap"} if length > 0.5 else ())
    return Case(f"lost {row} {at:.2f} {length}", recording(make, bursts(row[2])), BURSTS, notices)


def jitter(chance: random.Random) -> Case:
    """Stamps are a little off, up and down."""
    row = chance.choice([row for row in STAMPED if row[0] != "asf"])
    by = chance.uniform(0.001, 0.018)
    return Case(
        f"jitter {row} {by:.3f}",
        recording(replace(make_of(row), jitter_s=by), bursts(row[2])),
        BURSTS,
    )


def spoilt(chance: random.Random) -> Case:
    """Some packets hold something else."""
    rows = [row for row in STAMPED if row[1] != "ac3"] + [("adts", "aac", 44_100)]
    row = chance.choice(rows)
    at, length = chance.uniform(1.25, 1.7), chance.choice([0.03, 0.15])
    data = recording(replace(make_of(row), spoilt=(at, at + length)), bursts(row[2]))
    noise = row[1].startswith(NOISY)
    maybe = frozenset({"audio_damaged", "audio_gap"})
    return Case(f"spoilt {row} {at:.2f}", data, BURSTS, maybe=maybe, noise=noise)


def behind(chance: random.Random) -> Case:
    """Zeros, text or random bytes stand behind the recording."""
    row = chance.choice(ALL)
    size = chance.choice([1, 77, 4_096, 65_536, 1_000_003])
    kind = chance.choice(["zeros", "text", "random"])
    made = {
        "zeros": bytes(size),
        "text": ("не звук\n".encode() * (size // 15 + 1))[:size],
        "random": chance.randbytes(size),
    }
    data = plain(row, chance) + made[kind]
    maybe = frozenset(("audio_damaged", "audio_truncated") if kind != "zeros" else ())
    noise = kind == "random" and row[0] in ("mp3", "adts")
    return Case(f"behind {row} {kind} {size}", data, BURSTS, maybe=maybe, noise=noise)


def tags(chance: random.Random) -> Case:
    """Tags stand around an MP3 or AAC stream, and hold what looks like headers."""
    row = chance.choice([row for row in PLAIN if row[0] in ("mp3", "adts")])
    bait = chance.choice([b"Xing", b"Info", b"VBRI", b"APETAGEX", b"TAG", b"\xff\xfb\x90\x64"])
    size = chance.choice([100, 40_000, 300_000])
    body = (bait + chance.randbytes(50)) * (size // 54)
    ahead = b"ID3\4\0\0" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0)) + body
    data = recording(make_of(row), bursts(row[2]))
    ends = [_ape(chance, size), _lyrics(), b"TAG" + bytes(125), bytes(2_000)]
    chance.shuffle(ends)
    count = chance.randrange(4)
    data = (ahead if chance.random() < 0.7 else b"") + data + b"".join(ends[:count])
    return Case(f"tags {row} {bait!r} {size} {count}", data, BURSTS)


def _ape(chance: random.Random, size: int) -> bytes:
    value = b"cover.jpg\0" + chance.randbytes(size)
    item = struct.pack("<II", len(value), 2) + b"Cover Art (Front)\0" + value

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2_000, len(item) + 32, 1, flags) + bytes(8)

    return edge(0xA0000000) + item + edge(0x80000000)


def _lyrics() -> bytes:
    body = b"LYRICSBEGIN" + b"LYR00011line of text"
    return body + b"%06d" % len(body) + b"LYRICS200"


def joined(chance: random.Random) -> Case:
    """Recordings one behind the other, each with its own header and clock."""
    row = chance.choice(
        [
            *(("mp3", "libmp3lame", 44_100), ("adts", "aac", 44_100), ("mpegts", "aac", 44_100)),
            *(("ogg", "libopus", 48_000), ("mpegts", "mp2", 48_000), ("vob", "mp2", 48_000)),
            ("ogg", "flac", 44_100),
        ]
    )
    seconds, count = chance.choice([2.8, 3.4]), chance.choice([1, 1, 2, 5])
    first = recording(make_of(row), bursts(row[2], seconds=seconds))
    second = recording(make_of(row), bursts(row[2]))
    length = len(np.concatenate(list(decode(io.BytesIO(first), max_seconds=60.0)))) / RATE
    later = _packets_s(first) if row[0] == "mp3" else length
    begins = [0.0, *(length + number * later for number in range(count))]
    starts = tuple(begin + start for begin in begins for start in BURSTS)
    return Case(f"joined {row} {seconds} {count}", count * first + second, starts)


def _packets_s(data: bytes) -> float:
    """Seconds of all frames, those that an MP3's header takes for its encoder's delay too."""
    with av.open(io.BytesIO(data)) as container:
        packets = container.demux(container.streams.audio[0])
        return sum(float(each.duration * each.time_base) for each in packets if each.size)


def cut(chance: random.Random) -> Case:
    """The end is missing; where the container states its length exactly, that is reported."""
    silent = {"adts", "mpegts", "vob"}
    tables = {"mp4", "mov", "caf"}  # whose index is at the end: nothing is left without it
    # flac and vorbis: bytes are not spread over the seconds as they are in the others
    row = chance.choice(
        [row for row in ALL if row[0] not in tables and row[1] not in ("flac", "vorbis")]
    )
    data = plain(row, chance)
    share = chance.uniform(0.55, 0.75)
    notices = frozenset() if row[0] in silent else frozenset({"audio_truncated"})
    maybe = frozenset({"audio_truncated", "audio_damaged", "audio_gap", "silent"})
    left = data[: round(share * len(data))]
    return Case(f"cut {row} {share:.2f}", left, BURSTS[:1], notices, maybe, noise=True)


def sizes(chance: random.Random) -> Case:
    """Sizes of a WAV are off: by some bytes, by half, by a placeholder, by a wrap."""
    row = chance.choice([row for row in PLAIN if row[0] == "wav"])
    data = bytearray(recording(make_of(row), bursts(row[2]) + hum(row[2])))
    at = data.index(b"data") + 4
    size = int.from_bytes(data[at : at + 4], "little")
    kind = chance.choice(["riff", "more", "placeholder", "half"])
    notices: frozenset[str] = frozenset()
    if kind == "riff":
        data[4:8] = (int.from_bytes(data[4:8], "little") + chance.randrange(1, 9_999)).to_bytes(
            4, "little"
        )
    elif kind == "more":
        data[at : at + 4] = (size + chance.randrange(1, 50)).to_bytes(4, "little")
    elif kind == "placeholder":
        value = chance.choice([0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFFF, 0xFFFFFFD8])
        data[at : at + 4] = value.to_bytes(4, "little")
    else:
        data[at : at + 4] = (size // 2 // 16 * 16).to_bytes(4, "little")
        notices = frozenset({"audio_damaged"})
    return Case(f"sizes {row} {kind}", bytes(data), BURSTS, notices)


def phases(chance: random.Random) -> Case:
    """Two channels with opposite phases, perhaps not equally loud."""
    row = chance.choice(STEREO)
    sound, level = bursts(row[2]), chance.choice([1.0, 0.95, 0.9])
    data = recording(make_of(row), np.stack([sound, -level * sound], axis=1))
    notices = frozenset({"channels_cancel"})
    maybe = notices  # three bursts of 40 ms are less than what is worth a word
    return Case(f"phases {row} {level}", data, BURSTS, maybe=maybe)


def tracks(chance: random.Random) -> Case:
    """Two tracks: the default flag decides, or the caller; a silent one is reported."""
    rows = [row for row in STAMPED if row[0] in ("mp4", "mov", "matroska")]
    row = chance.choice(rows)
    sound, silence = bursts(row[2]), np.zeros(round(SECONDS * row[2]), np.float32)
    kind = chance.choice(["flag", "asked", "silent"])
    make = replace(make_of(row), picture=chance.random() < 0.5)
    if kind == "flag":
        data = recording(make, silence, sound, default=1)
        return Case(f"tracks {row} {kind}", data, BURSTS)
    data = recording(make, silence, sound, default=0)
    if kind == "asked":
        return Case(f"tracks {row} {kind}", data, BURSTS, track=1)
    return Case(f"tracks {row} {kind}", data, (), frozenset({"silent"}))


KINDS: dict[str, tuple[Callable[[random.Random], Case], int]] = {
    "whole": (whole, 3),
    "late": (late, 3),
    "pause": (pause, 4),
    "lost": (lost, 3),
    "jitter": (jitter, 1),
    "spoilt": (spoilt, 3),
    "behind": (behind, 4),
    "tags": (tags, 2),
    "joined": (joined, 2),
    "cut": (cut, 4),
    "sizes": (sizes, 3),
    "counts": (counts, 3),
    "ahead": (ahead, 2),
    "hurt": (hurt, 2),
    "unpaged": (unpaged, 1),
    "phases": (phases, 2),
    "tracks": (tracks, 2),
}
"""Of each kind, how many of 44 cases are of it."""


def cases(count: int, seed: int) -> list[Callable[[], Case]]:
    """As many variations, each made when it is called; equal arguments give equal bytes."""
    order = [name for name, (_, weight) in KINDS.items() for _ in range(weight)]
    return [
        lambda number=number: KINDS[order[number % len(order)]][0](  # type: ignore[misc]
            random.Random(f"{seed} {number}")  # noqa: S311
        )
        for number in range(count)
    ]


def main() -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began, failures = time.monotonic(), 0
    for number, make in enumerate(cases(given.count, given.seed or time.time_ns())):
        case = make()
        trouble = check(case)
        if trouble:
            failures += 1
            sys.stdout.write(f"{number} {case.name}: {trouble}\n")
    sys.stdout.write(f"{failures} of {given.count}, {time.monotonic() - began:.1f} s\n")
    return bool(failures)


assert BURST_S < APART_S  # else two bursts could be one

if __name__ == "__main__":
    sys.exit(main())
