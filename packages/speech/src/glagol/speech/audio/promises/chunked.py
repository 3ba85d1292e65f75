"""Containers of chunks with sizes of their own kind: Wave64, AIFF, AU, CAF."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.behind import Form, extended, form_of
from glagol.speech.audio.promises.stated import NOTHING, Stated, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.speech.audio.promises.behind import Form, extended, form_of
from glagol.speech.audio.promises.stated import Seekable

__all__ = ["aiff", "au", "caf", "w64"]

W64_HEADER = 24
W64_NAMES = b"\xf3\xac\xd3"
"""In the name of every chunk: bytes 5 to 8 of its GUID."""

W64_SIZES = range(104, 1 << 62)
"""FFmpeg refuses smaller ones, and what is larger is a placeholder."""

AIFF_SIZES = range(9, 0x7F000000)
"""What is outside is a placeholder: sox writes about 2^31, FFmpeg 0."""

AIFF_TAGS = {b"NONE": 1, b"twos": 1, b"sowt": 1, b"in24": 1, b"in32": 1}
AIFF_TAGS |= {b"fl32": 3, b"FL32": 3, b"fl64": 3, b"FL64": 3, b"alaw": 6, b"ALAW": 6}
AIFF_TAGS |= {b"ulaw": 7, b"ULAW": 7}
"""Codecs of AIFF-C whose bytes are seconds, as format tags of WAV."""

AU_FORMS = {1: (7, 1), 27: (6, 1), 2: (1, 1), 3: (1, 2), 4: (1, 3), 5: (1, 4), 6: (3, 4), 7: (3, 8)}
"""Encodings of AU: format tag of WAV, bytes of a sample."""

CAF_TAGS = {b"lpcm": 1, b"alaw": 6, b"ulaw": 7}
"""Codecs of CAF whose bytes are seconds, as format tags of WAV."""

BLOCK = 1 << 20

UNKNOWN_32 = (1 << 32) - 1


def w64(file: Seekable) -> Stated:
    """Sony Wave64: 16 bytes of name, 8 of size with this header, padded to 8."""
    size, position, patches, form = size_of(file), 40, [], None
    file.seek(16)
    if int.from_bytes(file.read(8), "little") not in W64_SIZES:
        patches.append((16, size.to_bytes(8, "little")))
    while position + W64_HEADER <= size:
        file.seek(position)
        header = file.read(W64_HEADER)
        length = int.from_bytes(header[16:], "little")
        if header[:4] == b"fmt ":
            form = form_of(file.read(40))
        if header[:4] == b"data":
            there = size - position - W64_HEADER
            if not W64_HEADER < length < W64_SIZES.stop:
                patches.append((position + 16, (there + W64_HEADER).to_bytes(8, "little")))
                return Stated(patches=tuple(patches), counted=True)
            found = _compared(length - W64_HEADER, there)
            start, rest = position + W64_HEADER, position + length + -length % 8
            while found is NOTHING and _is_w64_chunk(file, rest, size):
                rest += -(-int.from_bytes(file.read(8), "little") // 8) * 8
            if found is NOTHING:
                whole, remark = extended(file, form, start, length - W64_HEADER, rest, size)
                if whole > length:
                    patches.append((position + 16, (whole + W64_HEADER).to_bytes(8, "little")))
                found = Stated(remark=remark)
            return replace(found, patches=tuple(patches), counted=True)
        if length < W64_HEADER:
            break
        position += length + -length % 8
    return Stated(patches=tuple(patches))


def _is_w64_chunk(file: Seekable, position: int, end: int) -> bool:
    """Whether a chunk begins there; the file is left at its size."""
    file.seek(position)
    name = file.read(16)
    size = int.from_bytes(file.read(8), "little")
    file.seek(position + 16)
    return name[5:8] == W64_NAMES and W64_HEADER <= size <= end - position


def aiff(file: Seekable) -> Stated:
    """AIFF and AIFF-C: `SSND` holds 8 bytes and the samples, `COMM` counts them."""
    size, common, at = size_of(file), b"", 0
    file.seek(8)
    plain = file.read(4) == b"AIFF"
    for kind, start, length in _chunks(file, 12, size, 4):
        if kind == b"COMM":
            file.seek(start)
            at, common = start, file.read(22)
        if kind == b"SSND":
            there, form = max(0, size - start - 8), _aiff_form(common, plain=plain)
            whole, remark = there, ""
            if length in AIFF_SIZES:
                found = _compared(length - 8, there)
                if found is not NOTHING:
                    return replace(found, counted=True)
                rest = _end_of_chunks(file, start + length + length % 2, size, 4)
                whole, remark = extended(file, form, start + 8, length - 8, rest, size)
            patches = [(4, _four(size - 8)), (start - 4, _four(whole + 8))]
            if form is not None and at:
                patches.append((at + 2, _four(whole // max(1, form.align))))
            return Stated(patches=tuple(patches), counted=True, remark=remark)
    return NOTHING


def _aiff_form(common: bytes, *, plain: bool) -> Form | None:
    """Of `COMM`: channels, frames, bits, rate, in AIFF-C the codec; None for those of packets."""
    if len(common) < 18:
        return None
    channels, bits = int.from_bytes(common[:2], "big"), int.from_bytes(common[6:8], "big")
    exponent, mantissa = struct.unpack(">HQ", common[8:18])
    rate = mantissa >> min(64, max(0, 16_446 - exponent))
    codec = b"NONE" if plain else common[18:22]
    if codec not in AIFF_TAGS:
        return None
    tag = AIFF_TAGS[codec]
    width = 1 if tag in (6, 7) else bits + 7 >> 3
    return Form(tag, channels, rate, channels * width, big=codec != b"sowt")


def _four(number: int) -> bytes:
    """A number of AIFF; of more than 32 bits the largest that it can hold."""
    return min(number, (1 << 32) - 1).to_bytes(4, "big")


def au(file: Seekable) -> Stated:
    """Sun's AU: a header of stated length, then samples; their size may be unknown."""
    size = size_of(file)
    file.seek(0)
    head = file.read(24).ljust(24, b"\0")
    start, stated, encoding, rate, channels = struct.unpack(">5I", head[4:])
    there = max(0, size - start)
    unknown = ((8, b"\xff" * 4),)
    if stated in (0, UNKNOWN_32):
        return Stated(patches=unknown)
    found = _compared(stated, there)
    if found is not NOTHING:
        return replace(found, patches=unknown, counted=True)
    tag, width = AU_FORMS.get(encoding, (0, 0))
    form = Form(tag, channels, rate, channels * width, big=True) if tag else None
    whole, remark = extended(file, form, start, stated, start + stated, size)
    return Stated(end=start + whole, patches=unknown, counted=True, remark=remark)


def caf(file: Seekable) -> Stated:
    """Apple's Core Audio Format: `data` may have no size; `pakt` counts the frames of codecs."""
    size, form, seconds = size_of(file), None, None
    linear, packet, rate, end = False, 0, 0.0, 0
    found = NOTHING
    for kind, start, length in _chunks(file, 8, size, 8):
        end = start + length
        file.seek(start)
        if kind == b"desc":
            body = file.read(32).ljust(32, b"\0")
            rate, codec, flags, bytes_, packet, channels, _ = struct.unpack(">d4s5I", body)
            linear = codec in CAF_TAGS
            tag = 3 if codec == b"lpcm" and flags & 1 else CAF_TAGS.get(codec, 0)
            whole_rate = int(rate) if 1.0 <= rate <= 1e7 else 0
            form = Form(tag, channels, whole_rate, bytes_, big=not flags & 2) if linear else None
        elif kind == b"data":
            found, end = _caf_data(file, form, start, length, size)
        elif kind == b"pakt" and not linear and 1.0 <= rate <= 1e7:
            frames = int.from_bytes(file.read(16)[8:16], "big")
            frames -= packet  # some writers count the last packet as whole
            seconds = max(0, frames) / rate
    return replace(found, seconds=seconds, end=min(size, end) or None)


def _caf_data(
    file: Seekable, form: Form | None, start: int, length: int, size: int
) -> tuple[Stated, int]:
    """What `data` states, and where the file ends; of codecs `pakt` stands behind the sound."""
    unknown = length >= 1 << 62 or length <= 4  # -1: to the end of the file
    there = max(0, size - start - 4)
    if form is not None:
        if unknown:
            return Stated(patches=((start - 8, b"\xff" * 8),)), size
        found = _compared(length - 4, there)
        if found is not NOTHING:
            return replace(found, counted=True), start + length
        rest = _end_of_chunks(file, start + length, size, 8)
        whole, remark = extended(file, form, start + 4, length - 4, rest, size)
        patches = ((start - 8, (whole + 4).to_bytes(8, "big")),) if whole != length - 4 else ()
        return Stated(patches=patches, counted=True, remark=remark), start + 4 + whole
    if not unknown and (start + length == size or _is_chunk(file, start + length, size)):
        return NOTHING, start + length
    packets = _found(file, b"pakt", start + 4, size)
    if packets is None:
        return (NOTHING if unknown else _compared(length - 4, there)), min(size, start + length)
    return Stated(patches=((start - 8, (packets - start).to_bytes(8, "big")),)), size


def _is_chunk(file: Seekable, position: int, size: int) -> bool:
    """Whether a chunk of CAF begins there."""
    return next(_chunks(file, position, size, 8), (b"", 0, size + 1))[2] <= size - position


def _found(file: Seekable, name: bytes, position: int, end: int) -> int | None:
    """Where a chunk of CAF with this name is, if it is whole; None for nowhere."""
    kept = b""
    file.seek(position)
    while block := file.read(BLOCK):
        kept = kept[-16:] + block
        at = kept.find(name)
        place = file.tell() - len(kept) + at
        if at >= 0 and _is_chunk(file, place, end):
            return place
        file.seek(position := max(position, file.tell()) if at < 0 else place + len(name))
        kept = b"" if at >= 0 else kept
    return None


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


def _end_of_chunks(file: Seekable, position: int, end: int, width: int) -> int:
    """Where the chunks end that begin at `position`; `position` itself where none does."""
    for _, start, length in _chunks(file, position, end, width):
        if start + length > end:
            break
        position = start + length
    return position
