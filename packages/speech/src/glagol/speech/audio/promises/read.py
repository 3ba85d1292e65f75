"""Chooses the reader of a container's statement by the first bytes of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises import chunked, iso, mpeg_audio, ogg, others, riff
from glagol.speech.audio.promises.stated import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.speech.audio.promises.stated import Seekable, Stated

__all__ = ["stated"]

READERS: tuple[tuple[bytes, Callable[[Seekable], Stated]], ...] = (
    (b"riff", chunked.w64),
    (b"FORM", chunked.aiff),
    (b".snd", chunked.au),
    (b"caff", chunked.caf),
    (b"OggS", ogg.ogg),
    (b"\x1aE\xdf\xa3", others.matroska),
    (others.ASF_HEADER, others.asf),
    (b"FLV", others.flv),
    (b"G", others.transport),
    (b"ID3", mpeg_audio.stream),
    (b"fLaC", mpeg_audio.stream),
)
"""By the first bytes."""


def stated(file: Seekable) -> Stated:
    """What the container states about its sound.

    Args:
        file: seekable; its position is left at the start.

    Returns:
        The statement; an empty one for formats that state nothing.

    Raises:
        InputError, HostError: as the file, whose steps are counted.
    """
    file.seek(0)
    head = file.read(64)
    found = _read(file, head)
    file.seek(0)
    return found


def _read(file: Seekable, head: bytes) -> Stated:
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return others.avi(file) if head[8:12] == b"AVI " else riff.wave(file, head)
    for magic, reader in READERS:
        if head.startswith(magic):
            return reader(file)
    if head[4:8] in iso.FIRST_BOXES:
        return iso.iso(file)
    return mpeg_audio.stream(file) if mpeg_audio.is_frame(head) else NOTHING
