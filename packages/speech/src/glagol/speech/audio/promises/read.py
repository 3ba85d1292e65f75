"""Chooses the reader of a container's statement by its first bytes, and finds where those are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.audio.promises import chunked, iso, mpeg_audio, ogg, others, riff
from glagol.speech.audio.promises.stated import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.speech.audio.promises.stated import Seekable, Stated

__all__ = ["begin", "stated"]

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


MARKS = (
    *((b"RIFF", 8, b"WAVE"), (b"RIFF", 8, b"AVI "), (b"RF64", 8, b"WAVE"), (b"BW64", 8, b"WAVE")),
    *((b"FORM", 8, b"AIF"), (b"OggS\0\2", 0, b""), (b"fLaC\0", 0, b""), (b"caff\0\1", 0, b"")),
    *((b"\x1aE\xdf\xa3", 0, b""), (others.ASF_HEADER, 0, b""), (b"FLV\1", 0, b"")),
    (b".snd\0\0", 0, b""),
)
"""First bytes that are hardly chance: a name, and what stands how far behind its start."""

FIRST_BOX_BYTES = range(16, 257)
"""Of `ftyp`: two words and the names of some brands."""

LOOKED_BYTES = 1 << 16
"""How far from the start, or behind a tag, a recording may begin."""


def begin(file: Seekable) -> int:
    """How many bytes stand before the recording: tags, or what a program wrote ahead of it.

    Formats that need it are found behind ID3 tags, text, zeros or junk; 0 for everything else.

    Args:
        file: seekable; its position is left at the start.

    Raises:
        InputError, HostError: as the file, whose steps are counted.
    """
    tags = mpeg_audio.after_tags(file)
    file.seek(tags)
    head = file.read(LOOKED_BYTES)
    file.seek(0)
    if not tags and _is_known(head):
        return 0
    places = [at for mark in MARKS if (at := _found(head, *mark)) is not None]
    boxes = head.find(b"ftyp") - 4
    if boxes >= 0 and int.from_bytes(head[boxes : boxes + 4], "big") in FIRST_BOX_BYTES:
        places.append(boxes)
    if not tags and places:
        return min(places)
    if 0 in places:
        return tags
    frames = None if mpeg_audio.is_frame(head) else mpeg_audio.first_frames(head)
    return tags + frames if frames else 0


def _is_known(head: bytes) -> bool:
    """Whether a recording begins here."""
    starts = (b"RIFF", b"RF64", b"BW64", b"\0\0\1\xba", b"#!AMR", *(magic for magic, _ in READERS))
    return head.startswith(starts) or head[4:8] in iso.FIRST_BOXES or mpeg_audio.is_frame(head)


def _found(head: bytes, name: bytes, behind: int, mark: bytes) -> int | None:
    """Where a name and its mark stand; None for nowhere."""
    at = head.find(name)
    while at >= 0 and not head.startswith(mark, at + behind):
        at = head.find(name, at + 1)
    return at if at >= 0 else None


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
