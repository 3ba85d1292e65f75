"""Chooses the reader of a container's statement by the first bytes of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises import chunked, iso, mpeg_audio, ogg, others, riff
from glagol.speech.audio.promises.stated import NOTHING

if TYPE_CHECKING:
    from glagol.speech.audio.promises.stated import Seekable, Stated

__all__ = ["stated"]


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
    if head[:4] == b"riff":
        return chunked.w64(file)
    if head[:4] == b"FORM":
        return chunked.aiff(file)
    if head[:4] == b".snd":
        return chunked.au(file, head)
    if head[:4] == b"caff":
        return chunked.caf(file)
    if head[:4] == b"OggS":
        return ogg.ogg(file)
    if head[4:8] in iso.FIRST_BOXES:
        return iso.iso(file)
    if head[:4] == b"\x1aE\xdf\xa3":
        return others.matroska(file)
    if head[:16] == others.ASF_HEADER:
        return others.asf(file)
    if head[:3] == b"FLV":
        return others.flv(file)
    if head[:3] == b"ID3" or head[:4] == b"fLaC" or mpeg_audio.is_frame(head):
        return mpeg_audio.stream(file)
    return NOTHING
