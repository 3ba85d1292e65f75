"""Streams of frames: MP3 and AAC, and FLAC, with the tags that stand around them.

MP3: ISO/IEC 11172-3 section 2.4.1; the counting header of Xing, LAME and VBRI stands in place of
the first frame's sound. It is read from the first frame, never searched as text: a tag's title or
a cover can hold the same letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import Stated, size_of
from glagol.speech.audio.promises.zeros import KEPT, end_of_bytes

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["after_tags", "first_frames", "is_frame", "stream"]

TAGS_MAX = 100
LOOKED_BYTES = 1 << 16
"""How far behind a tag the first frame may be."""

FOLLOWING = 4
"""Frames in a row that are no chance."""

RATES = (44_100, 48_000, 32_000)
BIT_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
BIT_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
ID3V1 = 128
APE_EDGE = 32
LYRICS_END = 15


@dataclass(frozen=True, slots=True)
class _Frame:
    """Header of a frame of layer III: samples, Hz, bytes (0: free format), side information."""

    samples: int
    rate: int
    size: int
    side: int


def is_frame(head: bytes) -> bool:
    """Whether the bytes begin with the sync word of MPEG audio or ADTS."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def stream(file: Seekable) -> Stated:
    """What a stream of frames states: tags around it, the count of its header if it has one."""
    size = size_of(file)
    start = after_tags(file)
    end = _before_tags(file, start, size)
    file.seek(start)
    head = file.read(LOOKED_BYTES)
    if head[:4] == b"fLaC":
        packed = int.from_bytes(head[18:26], "big")  # STREAMINFO: rate, channels, bits, samples
        rate, total = packed >> 44, packed & (1 << 36) - 1
        return Stated(end=end, seconds=total / rate if total and rate else None)
    return Stated(end=end, seconds=_counted(head[_first_frame(head) :]))


def after_tags(file: Seekable) -> int:
    """Where the sound begins: behind any number of ID3v2 tags (section 3.1 of ID3 2.4)."""
    position = 0
    for _ in range(TAGS_MAX):
        file.seek(position)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        position += 10 + size + (10 if head[5] & 0x10 else 0)
    return position


def _before_tags(file: Seekable, start: int, end: int) -> int:
    """Where the sound ends: before ID3v1, APE and Lyrics3 tags, and zeros, in any order."""
    for _ in range(TAGS_MAX):
        found = max(start, _before_tag(file, end))
        if found >= end:
            break
        end = found
    return end


def _before_tag(file: Seekable, end: int) -> int:
    """Where the sound ends if a tag, or zeros, or a tag and zeros stand behind it."""
    last = end_of_bytes(file, end)
    first = max(0, last - 2 * ID3V1)
    file.seek(first)
    window = file.read(min(end, last + ID3V1) - first)
    for at in range(len(window), max(0, last - KEPT - first), -1):  # tags may end in zeros, too
        size = _tag_size(window[:at])
        if size:
            return first + at - size
    return last


def _tag_size(tail: bytes) -> int:
    """Bytes of the tag that `tail` ends with; 0 for none."""
    if tail[-ID3V1 : 3 - ID3V1] == b"TAG" and tail[-ID3V1 - 3 : 5 - ID3V1] != b"APETAGEX":
        return ID3V1
    if tail[-APE_EDGE : 8 - APE_EDGE] == b"APETAGEX":
        header = APE_EDGE if tail[-9] & 0x80 else 0
        return int.from_bytes(tail[-20:-16], "little") + header
    if tail[-9:] == b"LYRICS200" and tail[-LYRICS_END:-9].isdigit():
        return int(tail[-LYRICS_END:-9]) + LYRICS_END
    if tail[-10:-7] == b"3DI" and max(tail[-4:]) < 128:
        return (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1]) + 20
    return 0


def _first_frame(head: bytes) -> int:
    """Position of the first frame that another one follows; the length of `head` for none."""
    at = head.find(b"\xff")
    while 0 <= at < len(head) - 4:
        frame = _frame(head[at : at + 4])
        if frame is not None:
            following = head[at + frame.size : at + frame.size + 4]
            if not frame.size or len(following) < 4 or _frame(following) is not None:
                return at
        at = head.find(b"\xff", at + 1)
    return len(head)


def first_frames(data: bytes) -> int | None:
    """Position of the first of some frames that follow each other; None for none."""
    at = data.find(b"\xff")
    while at >= 0:
        position = at
        for _ in range(FOLLOWING):
            frame = _frame(data[position : position + 4])
            if frame is None or not frame.size:
                break
            position += frame.size
        else:
            return at
        at = data.find(b"\xff", at + 1)
    return None


def _frame(head: bytes) -> _Frame | None:
    """A header of layer III; None when it is none."""
    if not is_frame(head) or head[1] & 6 != 2:
        return None
    version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bit_rate == 15 or rate == 3:
        return None
    full = version == 3
    mono = head[3] >> 6 == 3
    hertz = RATES[rate] >> (0 if full else 1 if version == 2 else 2)
    kilobits = (BIT_RATES_1 if full else BIT_RATES_2)[bit_rate]
    size = (144_000 if full else 72_000) * kilobits // hertz + (head[2] >> 1 & 1)
    side = (17 if mono else 32) if full else (9 if mono else 17)
    return _Frame(1_152 if full else 576, hertz, size if kilobits else 0, side)


def _counted(data: bytes) -> float | None:
    """Seconds by the count of the first frame; None when it holds sound."""
    frame = _frame(data[:4])
    if frame is None:
        return None
    at = 4 + frame.side
    if data[at : at + 4] in (b"Xing", b"Info"):
        flags = data[at + 7] if len(data) > at + 7 else 0
        frames = int.from_bytes(data[at + 8 : at + 12], "big") if flags & 1 else 0
        extra = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
        silent = _padding(data[extra : extra + 24])
    elif data[36:40] == b"VBRI":
        frames, silent = int.from_bytes(data[50:54], "big"), 0
    else:
        return None
    samples = frames * frame.samples - silent
    return samples / frame.rate if frames and samples > 0 else None


def _padding(lame: bytes) -> int:
    """Samples that the encoder added before and behind the sound, if it says so."""
    if len(lame) < 24 or not (lame[:4].isalnum() and lame[:4].isascii()):
        return 0
    return (lame[21] << 4 | lame[22] >> 4) + ((lame[22] & 15) << 8 | lame[23])
