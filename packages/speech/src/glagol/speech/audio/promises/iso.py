"""ISO media (MP4, M4A, MOV, 3GP): whether all boxes are there (ISO/IEC 14496-12 section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import Stated, size_of

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["FIRST_BOXES", "iso"]

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx"})
"""What files begin with; those of QuickTime before 2001 have no `ftyp`."""

BLOCK = 1 << 20


def iso(file: Seekable) -> Stated:
    """Walk the top-level boxes; the index later gives the seconds of missing bytes."""
    size, position, indexed, media = size_of(file), 0, False, None
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, width = int.from_bytes(header[:4], "big"), 4
        if not _is_name(header[4:8]):
            break  # what stands behind the last box
        indexed |= header[4:8] == b"moov"
        if length == 1:
            length, width = int.from_bytes(header[8:16], "big"), 8
        elif length == 0:
            length = size - position
        if header[4:8] == b"mdat":
            media = (position, width)
        if length < 8:
            break
        position += length
    if not indexed:
        return _searched(file, media, size)
    if position > size:
        return Stated(missing=f"its last box lacks {position - size} bytes", counted=True)
    return Stated(counted=True)


def _searched(file: Seekable, media: tuple[int, int] | None, size: int) -> Stated:
    """The index behind media data of a wrong size: bytes were lost in it, or inserted."""
    place = None if media is None else _index(file, media[0] + 16, size)
    if media is None or place is None:
        return Stated(missing="it has no index (moov box)")
    position, width = media
    at = position if width == 4 else position + 8
    length = min(place - position, (1 << 8 * width) - 1)
    return Stated(
        patches=((at, length.to_bytes(width, "big")),),
        counted=True,
        remark="its media data have another size than their header states",
    )


def _index(file: Seekable, position: int, size: int) -> int | None:
    """Where a whole `moov` box is, which begins with its `mvhd`; None for nowhere."""
    file.seek(position)
    kept = b""
    while block := file.read(BLOCK):
        kept += block
        at = kept.find(b"moov")
        while at >= 4:
            length = int.from_bytes(kept[at - 4 : at], "big")
            if kept[at + 8 : at + 12] == b"mvhd" and position + at - 4 + length <= size:
                return position + at - 4
            at = kept.find(b"moov", at + 1)
        drop = max(0, len(kept) - 16)
        position, kept = position + drop, kept[drop:]
    return None


def _is_name(name: bytes) -> bool:
    return all(byte in b"\xa9" or 32 <= byte < 127 for byte in name)
