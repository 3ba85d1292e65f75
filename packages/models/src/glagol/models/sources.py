"""Source files of a model: where they are, whether they are right, and how to bring them.

A file is looked for under its own name and under the name by which its addresses serve it, in each
folder and in the store. Only `bring` talks to a network, and only when it was asked to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, SourceFile
    from glagol.registry.registry import Registry

    Progress = Callable[[int, int | None], None]

__all__ = ["Found", "bring", "find", "found", "missing"]

CONFIG = "config.json"
"""Settings beside published weights; read where they lie, since the weights can do without."""


@dataclass(frozen=True, slots=True)
class Found:
    """One source file that this machine has.

    Attributes:
        path: Where it lies.
        sha256: Digest of what lies there.
    """

    path: Path
    sha256: str


def find(model: Model, registry: Registry, folders: Sequence[Path]) -> dict[str, Found]:
    """Find and verify the source files of `model`.

    Args:
        model: The entry.
        registry: Its store may hold fetched source files.
        folders: Where to look, in order; each may hold `models/ID/PATH` or `PATH`.

    Returns:
        Source path to file. An alternative is absent where the file it replaces was found.

    Raises:
        IntegrityError: `artifact_altered`, a file has another digest than the manifest says.
    """
    files = model.source.files
    located = {
        file.path: place
        for file in files
        if (place := _locate(file, model.id, registry, folders)) is not None
    }
    return {
        file.path: located[file.path]
        for file in files
        if file.path in located and file.alternative_to not in located
    }


def missing(model: Model, located: dict[str, Found]) -> list[SourceFile]:
    """The files of `model` that a build needs and this machine lacks.

    An alternative stands for the file it replaces; an archive is not needed when the files inside
    it are there.
    """
    files = model.source.files
    archives = {file.archive for file in files if file.archive}
    replaced = {file.alternative_to for file in files if file.path in located}
    return [
        file
        for file in files
        if not file.alternative_to and file.path not in {*located, *archives, *replaced}
    ]


def found(model: Model, located: dict[str, Found], folders: Sequence[Path]) -> dict[str, Path]:
    """Every source file that a build needs, and the settings that lie beside the weights.

    Raises:
        IntegrityError: `artifact_missing`, `located` is not enough; it was sought in `folders`.
    """
    absent = missing(model, located)
    if absent:
        raise IntegrityError(
            "artifact_missing",
            f"the source file {absent[0].path} of {model.id} is in none of: "
            + ", ".join(str(folder) for folder in folders),
            "give its folder with --source DIR"
            + (f", or --fetch it from {absent[0].urls[0]}" if absent[0].urls else ""),
        )
    paths = {name: file.path for name, file in located.items()}
    if any(name.endswith(CONFIG) for name in paths):
        return paths
    beside = [path.with_name(CONFIG) for name, path in paths.items() if name.endswith(".bin")]
    return paths | ({CONFIG: beside[0]} if beside and beside[0].is_file() else {})


def bring(
    model: Model,
    registry: Registry,
    located: dict[str, Found],
    *,
    pinned: Callable[[Model], None] | None,
    progress: Progress | None = None,
) -> Model:
    """Fetch what a build of `model` lacks into the store; what was begun before is continued.

    Args:
        model: The entry.
        registry: Its store takes the files.
        located: What is here already.
        pinned: Called with the entry whenever a digest was learnt; None forbids to fetch a file
            that has none.
        progress: Called with bytes done and bytes in all.

    Returns:
        The entry, with the digests of files that were fetched for the first time.

    Raises:
        IntegrityError: no address delivered; `artifact_unpinned`, a digest is needed first.
        HostError: `disk_full` or `host_io`.
    """
    for file in missing(model, located):
        others = [other for other in model.source.files if other.alternative_to == file.path]
        first: IntegrityError | None = None
        for candidate in (file, *others):
            try:
                came = _fetched(candidate, registry, pinned is not None, progress)
            except IntegrityError as error:
                first = first or error
                continue
            if came != candidate:
                model = _with(model, came)
                assert pinned is not None  # noqa: S101 - else it were not fetched
                pinned(model)
            break
        else:
            assert first is not None  # noqa: S101 - there is at least one candidate
            raise first
    return model


def _fetched(
    file: SourceFile, registry: Registry, pinning: bool, progress: Progress | None
) -> SourceFile:
    from glagol.registry.fetch import fetch, pin

    if file.sha256 is not None:
        fetch(file, registry.store, progress=progress)
        return file
    if not pinning:
        raise IntegrityError(
            "artifact_unpinned",
            f"{file.path} has no sha256 in the manifest: {file.unpinned}",
            "add --record to take what upstream serves now, and review the diff",
        )
    return pin(file, registry.store, progress=progress)


def _with(model: Model, file: SourceFile) -> Model:
    files = tuple(file if old.path == file.path else old for old in model.source.files)
    return msgspec.structs.replace(model, source=msgspec.structs.replace(model.source, files=files))


def _locate(
    file: SourceFile, model_id: str, registry: Registry, folders: Sequence[Path]
) -> Found | None:
    names = dict.fromkeys([file.path, *(url.rpartition("/")[2] for url in file.urls)])
    places = [
        place
        for folder in folders
        for name in names
        for place in (folder / name, folder / "models" / model_id / name)
    ]
    if file.sha256 is not None:
        places.append(registry.store.path_of(file.sha256))
    for place in places:
        if place.is_file():
            return Found(place, _verified(file, place))
    return None


def _verified(file: SourceFile, place: Path) -> str:
    """The digest of the file at `place`, if it is the pinned one or, unpinned, upstream's MD5."""
    with place.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        right = file.sha256 in {None, sha256}
        if file.sha256 is None and file.md5 is not None:
            opened.seek(0)
            md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
            right = md5.hexdigest() == file.md5
    if not right:
        wanted = f"sha256 {file.sha256}" if file.sha256 else f"md5 {file.md5}"
        raise IntegrityError(
            "artifact_altered",
            f"the source file {place} has sha256 {sha256}, the manifest says {wanted}",
            "get the file again from where it came",
        )
    return sha256
