"""Parse the command line's source files: each is a local file, an address, or both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from glagol.core.errors import InputError
from glagol.registry.manifest.edit import UNFETCHED
from glagol.registry.manifest.types import Golden, SourceFile

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model

__all__ = ["Origin", "again", "given", "golden", "golden_again"]

_PIN = "#sha256="


@dataclass(frozen=True, slots=True)
class Origin:
    """A source file, and its place on this machine if there is one.

    Attributes:
        file: The manifest's entry.
        path: The local file that was hashed; None when only an address is known.
    """

    file: SourceFile
    path: Path | None


def given(sources: Sequence[str], home: Path) -> tuple[Origin, ...]:
    """Make entries of `--source` values; local files are hashed.

    The entry of a file inside `home` has the file's path relative to `home`, any other has the
    file's name. An address may end with `#sha256=DIGEST`. An address and a local file of the same
    name become one entry.

    Args:
        sources: Paths and addresses.
        home: The directory of the manifest.

    Raises:
        InputError: `option_invalid`, a file does not exist, or a file and its address have
            different digests.
    """
    found: list[Origin] = []
    for text in sources:
        fresh = _address(text) if "://" in text else _local(Path(text), home)
        name = fresh.file.path.rpartition("/")[2]
        same = [n for n, other in enumerate(found) if other.file.path.rpartition("/")[2] == name]
        if same and (fresh.path is None or found[same[0]].path is None):
            found[same[0]] = _merged(found[same[0]], fresh)
        else:
            found.append(fresh)
    return tuple(found)


def again(model: Model, home: Path) -> tuple[Origin, ...]:
    """The source files of a model for its next version.

    Files inside `home` are hashed again. Other files lose their digests, since their addresses may
    serve other bytes for the next version.
    """
    origins = []
    for file in model.source.files:
        path = home / file.path
        if path.is_file():
            local = _local(path, home)
            same = local.file.sha256 == file.sha256
            origins.append(Origin(file if same else _with_origin(local.file, file), path))
            continue
        blank = msgspec.structs.replace(
            file, sha256=None, size_bytes=None, md5=None, note="", unpinned=UNFETCHED
        )
        origins.append(Origin(blank, None))
    return tuple(origins)


def golden(audio: Path, transcript: Path, home: Path) -> Golden:
    """Hash the known-answer clip of a model and its transcript.

    Args:
        audio: The clip, inside `home`.
        transcript: Its text, inside `home`.
        home: The directory of the manifest.

    Raises:
        InputError: `option_invalid`, the clip or the transcript is not a file inside `home`.
    """
    clip, text = _local(audio, home), _local(transcript, home)
    for item in (clip, text):
        if item.path is None or not item.path.is_relative_to(home.absolute()):
            raise InputError(
                "option_invalid",
                f"{item.path} is not in {home}",
                "put clip and transcript beside the manifest, as models/ID/golden/",
            )
    return Golden(
        audio=clip.file.path,
        audio_sha256=clip.file.sha256 or "",
        transcript=text.file.path,
        transcript_sha256=text.file.sha256 or "",
    )


def golden_again(model: Model, home: Path) -> Golden | None:
    """Hash a model's known-answer clip again; unchanged when its files are not in `home`."""
    known = model.golden
    if known is None or not all((home / p).is_file() for p in (known.audio, known.transcript)):
        return known
    return golden(home / known.audio, home / known.transcript, home)


def _with_origin(local: SourceFile, before: SourceFile) -> SourceFile:
    """The newly hashed file with the addresses and relations of its old entry."""
    kept = ("urls", "archive", "joined", "alternative_to")
    return msgspec.structs.replace(local, **{name: getattr(before, name) for name in kept})


def _address(text: str) -> Origin:
    url, _, pin = text.partition(_PIN)
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    reason = "" if pin else UNFETCHED
    return Origin(SourceFile(path=name, urls=(url,), sha256=pin or None, unpinned=reason), None)


def _local(path: Path, home: Path) -> Origin:
    place = path.resolve() if ".." in path.parts else path.absolute()
    if not place.is_file():
        raise InputError(
            "option_invalid", f"there is no file {path}", "give a file, or an address with ://"
        )
    with place.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        size = opened.tell()
    top = home.absolute()
    name = place.relative_to(top).as_posix() if place.is_relative_to(top) else place.name
    return Origin(SourceFile(path=name, sha256=sha256, size_bytes=size), place)


def _merged(one: Origin, two: Origin) -> Origin:
    """Merge two entries of one file. At most one has a local file; the result has its path."""
    base = one if one.path or not two.path else two
    pins = {file.sha256 for file in (one.file, two.file) if file.sha256}
    if len(pins) > 1:
        raise InputError(
            "option_invalid",
            f"{base.file.path} has two digests: {' and '.join(sorted(pins))}",
            "give a file and an address that have the same bytes",
        )
    urls = tuple(dict.fromkeys((*one.file.urls, *two.file.urls)))
    file = msgspec.structs.replace(
        base.file,
        urls=urls,
        sha256=next(iter(pins), None),
        unpinned="" if pins else UNFETCHED,
    )
    return Origin(file, base.path)
