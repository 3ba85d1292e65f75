"""Forms of recordings that are varied, and what is expected of a variation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from speech.recordings import PICTURES, SECONDS, Make, bursts, recording

if TYPE_CHECKING:
    import random

    from speech.made import Samples

Row = tuple[str, str, int]

STAMPED = [
    *(("mp4", "aac", 44_100), ("mp4", "libmp3lame", 44_100), ("mov", "alac", 44_100)),
    *(("mp4", "libopus", 48_000), ("mov", "aac", 48_000), ("matroska", "aac", 44_100)),
    *(("matroska", "libopus", 48_000), ("matroska", "pcm_s16le", 48_000)),
    *(("matroska", "flac", 44_100), ("webm", "libopus", 48_000), ("webm", "vorbis", 44_100)),
    *(("mpegts", "aac", 44_100), ("mpegts", "mp2", 48_000), ("mpegts", "ac3", 48_000)),
    *(("mpegts", "libopus", 48_000), ("flv", "aac", 44_100), ("flv", "libmp3lame", 44_100)),
    *(("flv", "pcm_s16le", 44_100), ("asf", "libmp3lame", 44_100), ("vob", "mp2", 48_000)),
]
"""Container, codec, rate: every packet has a time stamp of its own."""

PLAIN = [
    *(("wav", "pcm_s16le", 16_000), ("wav", "pcm_s24le", 44_100), ("wav", "pcm_mulaw", 8_000)),
    *(("wav", "pcm_u8", 11_025), ("wav", "pcm_f32le", 48_000), ("wav", "pcm_alaw", 8_000)),
    *(("w64", "pcm_s24le", 48_000), ("aiff", "pcm_s16be", 44_100), ("caf", "alac", 44_100)),
    *(("caf", "pcm_s16be", 44_100), ("au", "pcm_s16be", 16_000), ("flac", "flac", 44_100)),
    *(("mp3", "libmp3lame", 44_100), ("mp3", "libmp3lame", 16_000), ("adts", "aac", 44_100)),
    *(("ogg", "libopus", 48_000), ("ogg", "vorbis", 44_100), ("ogg", "flac", 44_100)),
    *(("avi", "pcm_s16le", 44_100), ("avi", "libmp3lame", 44_100)),
]
COUNTED: list[tuple[str, Row, bytes, int, int, Literal["little", "big"]]] = [
    ("aiff", ("aiff", "pcm_s16be", 44_100), b"SSND", 4, 4, "big"),
    ("caf", ("caf", "pcm_s16be", 44_100), b"data", 4, 8, "big"),
    ("caf", ("caf", "alac", 44_100), b"data", 4, 8, "big"),
    ("w64", ("w64", "pcm_s24le", 48_000), b"data", 16, 8, "little"),
    ("au", ("au", "pcm_s16be", 16_000), b".snd", 8, 4, "big"),
    ("rf64", ("wav", "pcm_s16le", 16_000), b"ds64", 16, 8, "little"),
]
"""Container, form, and where its header has the size of the sound: behind which name, how wide."""

ALL = STAMPED + PLAIN
STEREO = [form for form in ALL if form[1] != "vorbis"]
NOISY = ("pcm", "libopus")
"""Codecs whose damage is noise, not silence."""


@dataclass(frozen=True)
class Case:
    """A recording, and what must come of it.

    Attributes:
        name: of the kind and its variation.
        data: the bytes.
        starts: when bursts begin, seconds.
        notices: the codes of the notices, in any order.
        maybe: codes that may be there, too.
        noise: whether other sound may be found.
        track: which one is decoded.
    """

    name: str
    data: bytes
    starts: tuple[float, ...]
    notices: frozenset[str] = frozenset()
    maybe: frozenset[str] = frozenset()
    noise: bool = False
    track: int | None = None


def make_of(row: Row) -> Make:
    return Make(*row)


def plain(row: Row, chance: random.Random) -> bytes:
    make = replace(make_of(row), picture=row[0] in PICTURES and chance.random() < 0.3)
    return recording(make, bursts(row[2]))


def hum(rate: int) -> Samples:
    """The noise of a microphone in silence."""
    at = np.arange(round(SECONDS * rate)) / rate
    return (0.02 * np.sin(2 * np.pi * 120 * at)).astype(np.float32)
