"""Ogg: whether the last page is whole (RFC 3533 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises.stated import Stated, size_of
from glagol.speech.audio.promises.zeros import end_of_bytes

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable

__all__ = ["ogg"]

PAGE_MAX = 27 + 255 + 255 * 255
"""Largest page: header, segment table, 255 segments."""

HEADER = 27


def ogg(file: Seekable) -> Stated:
    """What the last page says; its length in time is counted by granules that are there."""
    size = end_of_bytes(file, size_of(file))
    tail_start = max(0, size - PAGE_MAX)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    page = tail.rfind(b"OggS\0")
    if page < 0:
        return Stated(end=size)
    header = tail[page : page + HEADER]
    table = tail[page + HEADER : page + HEADER + header[26]] if len(header) == HEADER else b""
    if len(header) < HEADER or len(table) < header[26]:
        return Stated(end=size, missing="its last Ogg page is incomplete")
    lacking = page + HEADER + len(table) + sum(table) - len(tail)
    if lacking > size_of(file) - size:  # a page may end in zeros
        return Stated(end=size, missing=f"its last Ogg page lacks {lacking} bytes")
    return Stated(end=size + max(0, lacking), counted=True)
