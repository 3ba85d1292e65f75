"""What a file's own bytes say about its length, before anything is decoded.

FFmpeg reads a file that was cut off as if it were a shorter one. A transcript of half a recording
that looks like the whole is worse than an error, so the promises of the header are compared with
the bytes that are there (RIFF/WAVE, Ogg, ISO media) or with what was decoded (`promises_length`).
"""

from __future__ import annotations

import io
from typing import Protocol

EMPTY_SIZES = (0, 0xFFFFFFFF)
STREAMED_FROM = 0x7FFF0000
"""Writers that cannot seek back leave a placeholder: 0, 2^32-1, or just below 2^31 (espeak-ng)."""

OGG_PAGE_MAX = 27 + 255 + 255 * 255
"""Largest Ogg page: header, segment table, 255 segments (RFC 3533 section 6)."""

EXACT = frozenset({"wav", "w64", "flac", "ogg", "aiff", "au", "caf"})
"""Formats (FFmpeg names) whose stream duration is counted, not estimated from a bit rate."""


class Seekable(Protocol):
    """What is needed of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position and return it."""

    def tell(self) -> int:
        """Where the next byte is read."""


def cut_off(file: Seekable) -> str | None:
    """Tell how the container's header contradicts the size of the file.

    Args:
        file: seekable; its position is left at the start.

    Returns:
        A phrase like "its header promises 320000 bytes of sound, 160000 are there", or None when
        nothing is missing or the format does not tell.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    head = file.read(12)
    found = None
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        found = _riff(file, size)
    elif head[:4] == b"OggS":
        found = _ogg(file, size)
    elif head[4:8] == b"ftyp":
        found = _iso(file, size)
    file.seek(0)
    return found


def sound_end(file: Seekable) -> int | None:
    """Where the sound of a RIFF file ends, bytes; None when it does not say, or is no such file.

    FFmpeg looks for chunks behind the sound, eight bytes at a time where a recorder left zeros.

    Args:
        file: seekable; its position is left at the start.
    """
    file.seek(0)
    head = file.read(12)
    is_riff = head[:4] == b"RIFF" and head[8:] == b"WAVE"
    data = _riff_data(file) if is_riff else None
    file.seek(0)
    if data is None or data[1] in EMPTY_SIZES or data[1] >= STREAMED_FROM:
        return None
    return sum(data)


def promises_length(file: Seekable, name: str, streams: int) -> bool:
    """Whether the container's duration is a promise rather than an estimate.

    Args:
        file: seekable; its position is kept, a demuxer reads from it.
        name: FFmpeg's name of the format.
        streams: number of streams; Matroska tells only the longest one's duration.

    Returns:
        True when a shorter decoded stream means that data are missing.
    """
    if name in {"mp3", "wav"}:
        position = file.tell()
        promised = not _riff_is_streamed(file) if name == "wav" else _has_frame_count(file)
        file.seek(position)
        return promised
    if name == "matroska,webm":
        return streams == 1
    return name in EXACT or name.startswith("mov,")


def _riff_data(file: Seekable) -> tuple[int, int] | None:
    """Position and declared size of the data chunk of a RIFF file, None when there is none."""
    position = 12
    while True:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return None
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":
            return position + 8, size
        position += 8 + size + size % 2


def _has_frame_count(file: Seekable) -> bool:
    """Whether an MP3 starts with a header that counts its frames (Xing, Info or VBRI)."""
    file.seek(0)
    head = file.read(1 << 16)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _riff_is_streamed(file: Seekable) -> bool:
    data = _riff_data(file)
    return data is None or data[1] in EMPTY_SIZES or data[1] >= STREAMED_FROM


def _riff(file: Seekable, size: int) -> str | None:
    data = _riff_data(file)
    if data is None or data[1] in EMPTY_SIZES or data[1] >= STREAMED_FROM:
        return None
    start, declared = data
    if declared <= size - start:
        return None
    return f"its header promises {declared} bytes of sound, {max(0, size - start)} are there"


def _ogg(file: Seekable, size: int) -> str | None:
    tail_start = max(0, size - OGG_PAGE_MAX)
    file.seek(tail_start)
    tail = file.read(OGG_PAGE_MAX)
    page = tail.rfind(b"OggS\0")
    if page < 0:
        return "its last Ogg page is incomplete"
    header = tail[page : page + 27]
    table = tail[page + 27 : page + 27 + header[26]] if len(header) > 26 else b""
    if len(header) < 27 or len(table) < header[26]:
        return "its last Ogg page is incomplete"
    missing = page + 27 + len(table) + sum(table) - len(tail)
    return f"its last Ogg page lacks {missing} bytes" if missing > 0 else None


def _iso(file: Seekable, size: int) -> str | None:
    """Walk the top-level boxes (ISO/IEC 14496-12 section 4.2)."""
    position = 0
    seen_index = False
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        seen_index |= header[4:8] == b"moov"
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - position
        if length < 8:
            return None
        position += length
    if position > size:
        return f"its last box lacks {position - size} bytes"
    return None if seen_index else "it has no index (moov box)"
