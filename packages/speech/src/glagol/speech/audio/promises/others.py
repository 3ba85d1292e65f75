"""Read the stated size of video containers: Matroska, AVI, ASF, FLV, MPEG transport streams.

Each function takes the file and returns `Stated`, with `missing` when the file is shorter than its
header says.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import NOTHING, Stated, size_of
from glagol.speech.audio.promises.zeros import end_of_bytes

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["ASF_HEADER", "asf", "avi", "flv", "matroska", "transport"]

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_BROADCAST = 1
ASF_TICKS = 1e7
SEGMENT = b"\x18\x53\x80\x67"
RIFFS_MAX = 10_000
TRANSPORT_PACKET = 188


def matroska(file: Seekable) -> Stated:
    """Matroska and WebM: the segment's size (RFC 9559 section 4.5, RFC 8794 section 6)."""
    size = size_of(file)
    file.seek(4)
    head = file.read(256)
    body, length = _vint(head, 0)
    if length is None or head[body + length : body + length + 4] != SEGMENT:
        return NOTHING
    start, stated = _vint(head, body + length + 4)
    if stated is None:
        return NOTHING
    return _compared(4 + start + stated, size)


def avi(file: Seekable) -> Stated:
    """AVI, and its extension OpenDML: the sizes of the RIFF chunks, which follow each other."""
    size, position = size_of(file), 0
    for _ in range(RIFFS_MAX):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:], "little")
        if length == 0:
            return NOTHING
        position += 8 + length
    found = _compared(position, size)
    return replace(found, seconds=_avi_seconds(file)) if found.missing else found


def _avi_seconds(file: Seekable) -> float | None:
    """Duration of the first audio track, seconds: length, rate and scale of its stream header."""
    file.seek(0)
    head = file.read(1 << 14)
    at = head.find(b"auds", head.find(b"strh"))
    scale, rate, _, length = struct.unpack("<4I", head[at + 20 : at + 36].ljust(16, b"\0"))
    return length * scale / rate if at > 0 and rate and scale else None


def transport(file: Seekable) -> Stated:
    """MPEG transport streams state no size; the end is that of their packets, without the zeros."""
    size = size_of(file)
    end = end_of_bytes(file, size)
    return Stated(end=min(size, end + -end % TRANSPORT_PACKET))


def asf(file: Seekable) -> Stated:
    """WMA and WMV: the size in the File Properties Object, which broadcasts leave open."""
    size = size_of(file)
    file.seek(0)
    head = file.read(1 << 16)
    at = head.find(ASF_FILE, 30)
    body = head[at + 40 : at + 40 + 64 + 4]
    if at < 0 or len(body) < 68 or int.from_bytes(body[48:52], "little") & ASF_BROADCAST:
        return NOTHING
    found = _compared(int.from_bytes(body[:8], "little"), size)
    played, preroll = (int.from_bytes(body[at : at + 8], "little") for at in (24, 40))
    seconds = played / ASF_TICKS - preroll / 1e3
    return replace(found, seconds=max(0.0, seconds)) if found.missing else found


def flv(file: Seekable) -> Stated:
    """Flash video: the field `filesize` of its metadata, a double after the name (AMF 0)."""
    size = size_of(file)
    file.seek(0)
    head = file.read(1 << 14)
    at = head.find(b"\0\x08filesize\0")
    value = head[at + 11 : at + 19]
    if at < 0 or len(value) < 8:
        return NOTHING
    stated = struct.unpack(">d", value)[0]
    return _compared(int(stated), size) if math.isfinite(stated) and stated > 0 else NOTHING


def _compared(stated: int, size: int) -> Stated:
    if stated <= size:
        return NOTHING
    return Stated(missing=f"its header states {stated} bytes, the file has {size}")


def _vint(data: bytes, at: int) -> tuple[int, int | None]:
    """Read a variable-size integer: the position after it, and its value or None for unknown."""
    if at >= len(data) or data[at] == 0:
        return at, None
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    return at + width, None if value == (1 << 7 * width) - 1 else value
