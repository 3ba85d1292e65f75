"""Containers of chunks with sizes of their own kind: Wave64, AIFF, AU, CAF."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import NOTHING, Stated, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["aiff", "au", "caf", "w64"]

W64_HEADER = 24
W64_SIZES = range(104, 1 << 62)
"""FFmpeg refuses smaller ones, and what is larger is a placeholder."""

AIFF_SIZES = range(9, 0x7F000000)
"""What is outside is a placeholder: sox writes about 2^31, FFmpeg 0."""

UNKNOWN_32 = (1 << 32) - 1


def w64(file: Seekable) -> Stated:
    """Sony Wave64: 16 bytes of name, 8 of size with this header, padded to 8."""
    size, position, patches = size_of(file), 40, []
    file.seek(16)
    if int.from_bytes(file.read(8), "little") not in W64_SIZES:
        patches.append((16, size.to_bytes(8, "little")))
    while position + W64_HEADER <= size:
        file.seek(position)
        header = file.read(W64_HEADER)
        length = int.from_bytes(header[16:], "little")
        if header[:4] == b"data":
            there = size - position - W64_HEADER
            if not W64_HEADER < length < W64_SIZES.stop:
                patches.append((position + 16, (there + W64_HEADER).to_bytes(8, "little")))
                return Stated(patches=tuple(patches), counted=True)
            found = _compared(length - W64_HEADER, there)
            return replace(found, patches=tuple(patches), counted=True)
        if length < W64_HEADER:
            break
        position += length + -length % 8
    return Stated(patches=tuple(patches))


def aiff(file: Seekable) -> Stated:
    """AIFF and AIFF-C: `SSND` holds 8 bytes and the samples, `COMM` counts them."""
    size, common = size_of(file), None
    for kind, start, length in _chunks(file, 12, size, 4):
        if kind == b"COMM":
            file.seek(start)
            common = (start, file.read(8))
        if kind == b"SSND":
            there = max(0, size - start - 8)
            if length in AIFF_SIZES:
                return replace(_compared(length - 8, there), counted=True)
            return _aiff_patched(size, start, there, common)
    return NOTHING


def _aiff_patched(size: int, start: int, there: int, common: tuple[int, bytes] | None) -> Stated:
    """A file whose writer could not seek back: all that is there is sound."""
    patches = [(4, _four(size - 8)), (start - 4, _four(there + 8))]
    if common is not None and len(common[1]) == 8:
        at, body = common
        width = int.from_bytes(body[:2], "big") * (int.from_bytes(body[6:8], "big") + 7 >> 3)
        patches.append((at + 2, _four(there // max(1, width))))
    return Stated(patches=tuple(patches), counted=True)


def _four(number: int) -> bytes:
    """A number of AIFF; of more than 32 bits the largest that it can hold."""
    return min(number, (1 << 32) - 1).to_bytes(4, "big")


def au(file: Seekable) -> Stated:
    """Sun's AU: a header of stated length, then samples; their size may be unknown."""
    file.seek(0)
    head = file.read(12)
    start = int.from_bytes(head[4:8], "big")
    stated = int.from_bytes(head[8:12], "big")
    there = max(0, size_of(file) - start)
    if stated in (0, UNKNOWN_32):
        return NOTHING
    end = start + stated if stated < there else None
    return replace(_compared(stated, there), end=end, counted=True)


def caf(file: Seekable) -> Stated:
    """Apple's Core Audio Format: `data` may have no size; `pakt` counts the frames of codecs."""
    size, rate, found = size_of(file), 0.0, NOTHING
    linear, packet, end = False, 0, 0
    for kind, start, length in _chunks(file, 8, size, 8):
        end = start + length
        file.seek(start)
        if kind == b"desc":
            body = file.read(24)
            rate, linear = _double(body[:8]), body[8:12] in (b"lpcm", b"alaw", b"ulaw")
            packet = int.from_bytes(body[20:24], "big")
        elif kind == b"data":
            if length >= 1 << 62:  # -1: to the end of the file
                return NOTHING
            found = replace(_compared(length - 4, max(0, size - start - 4)), counted=linear)
        elif kind == b"pakt" and not linear and 1.0 <= rate <= 1e7:
            frames = int.from_bytes(file.read(16)[8:16], "big")
            frames -= packet  # some writers count the last packet as whole
            found = Stated(missing=found.missing, seconds=max(0, frames) / rate)
    return replace(found, end=min(size, end) or None)


def _compared(stated: int, there: int) -> Stated:
    """Whether bytes of sound are missing."""
    if stated <= there or stated <= 0:
        return NOTHING
    phrase = f"its header promises {stated} bytes of sound, {there} are there"
    return Stated(missing=phrase, share=(stated - there) / there if there else None)


def _chunks(
    file: Seekable, position: int, end: int, width: int
) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content, stated size of each chunk; sizes have `width` bytes."""
    while position + 4 + width <= end:
        file.seek(position)
        header = file.read(4 + width)
        if not all(32 <= byte < 127 for byte in header[:4]):
            return  # what stands behind the last one
        length = int.from_bytes(header[4:], "big")
        yield header[:4], position + 4 + width, length
        position += 4 + width + length + (length % 2 if width == 4 else 0)


def _double(data: bytes) -> float:
    return float(struct.unpack(">d", data)[0]) if len(data) == 8 else 0.0
