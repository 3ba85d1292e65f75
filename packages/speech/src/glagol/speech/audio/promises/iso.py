"""ISO media (MP4, M4A, MOV, 3GP): whether all boxes are there (ISO/IEC 14496-12 section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import NOTHING, Stated, size_of

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["FIRST_BOXES", "iso"]

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx"})
"""What files begin with; those of QuickTime before 2001 have no `ftyp`."""


def iso(file: Seekable) -> Stated:
    """Walk the top-level boxes; the index later gives the seconds of missing bytes."""
    size, position, indexed = size_of(file), 0, False
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if not _is_name(header[4:8]):
            break  # what stands behind the last box
        indexed |= header[4:8] == b"moov"
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - position
        if length < 8:
            return NOTHING if indexed else Stated(missing="it has no index (moov box)")
        position += length
    if position > size:
        return Stated(missing=f"its last box lacks {position - size} bytes", counted=True)
    return Stated(counted=True) if indexed else Stated(missing="it has no index (moov box)")


def _is_name(name: bytes) -> bool:
    return all(byte in b"\xa9" or 32 <= byte < 127 for byte in name)
