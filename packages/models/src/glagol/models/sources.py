"""Find and verify the source files of a model.

A file is searched in each folder, under its path and under the last part of its addresses, and in
the store by its digest. When a build needs a file that is inside an archive or in parts, it is
extracted or joined. `bringing` fetches missing files.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, SourceFile
    from glagol.registry.registry import Registry

__all__ = ["Found", "find", "found", "lacking_archives", "missing"]

CONFIG = "config.json"
"""An optional file of settings, which is read from the folder of the weights if it is there."""


@dataclass(frozen=True, slots=True)
class Found:
    """One source file that this machine has.

    Attributes:
        path: The file.
        sha256: Digest of its bytes.
    """

    path: Path
    sha256: str


def find(model: Model, registry: Registry, folders: Sequence[Path]) -> dict[str, Found]:
    """Find and verify the source files of `model`.

    Args:
        model: The entry.
        registry: Its store may hold fetched source files.
        folders: Folders to search, in order; each may hold `PATH` or `models/ID/PATH`.

    Returns:
        The files found, by source path. An alternative is left out when the file that it can
        replace was found.

    Raises:
        IntegrityError: `artifact_altered`, a file has another digest than in the manifest.
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

    A file is not missing when an alternative of it was found. Archives and parts are not listed
    themselves, only the files that they contain.
    """
    files = model.source.files
    named = {file.path: file for file in files}
    replaced = {file.alternative_to for file in files if file.path in located}
    return [
        file
        for file in _whole(model)
        if file.path not in replaced and not _within(file, named, located)
    ]


def _whole(model: Model) -> list[SourceFile]:
    """The files that a build reads: all but archives, parts and alternatives."""
    files = model.source.files
    inner = {path for file in files for path in (file.archive, *file.joined)}
    return [file for file in files if not file.alternative_to and file.path not in inner]


def found(
    model: Model, located: dict[str, Found], registry: Registry, folders: Sequence[Path]
) -> dict[str, Path]:
    """The path of every source file that a build needs, and of the settings beside the weights.

    A file that is in an archive or in parts is extracted or joined into the store.

    Raises:
        IntegrityError: `artifact_missing`, a file is not in `located` (the message names `folders`
            as the places that were searched); `artifact_altered`, an archive is damaged, or an
            extracted file has another digest.
        HostError: `disk_full`, `host_io`.
    """
    absent = missing(model, located)
    if absent:
        raise IntegrityError(
            "artifact_missing",
            f"the source file {absent[0].path} of {model.id} is in none of: "
            + ", ".join(str(folder) for folder in folders),
            (f"run `glagol models build {model.id} --fetch`, or " if absent[0].urls else "")
            + "give the folder of its files with --source DIR",
        )
    named = {file.path: file for file in model.source.files}
    paths = {name: file.path for name, file in located.items()}
    for file in _whole(model):
        if file.path not in paths and _within(file, named, located):
            paths[file.path] = _extracted(file, named, located, registry)
    if any(name.endswith(CONFIG) for name in paths):
        return paths
    beside = [path.with_name(CONFIG) for name, path in paths.items() if name.endswith(".bin")]
    return paths | ({CONFIG: beside[0]} if beside and beside[0].is_file() else {})


def lacking_archives(model: Model, file: SourceFile, located: dict[str, Found]) -> list[SourceFile]:
    """The archives that must be fetched for a file, or for those of its parts that are missing."""
    named = {other.path: other for other in model.source.files}
    parts = [named[path] for path in file.joined] if file.joined else [file]
    archives = {part.archive for part in parts if part.archive and part.path not in located}
    return [named[path] for path in sorted(archives) if path not in located]


def _within(file: SourceFile, named: dict[str, SourceFile], located: dict[str, Found]) -> bool:
    """Whether this machine has a file, the archive that contains it, or all of its parts."""
    if file.path in located or file.archive in located:
        return True
    return bool(file.joined) and all(_within(named[p], named, located) for p in file.joined)


def _extracted(
    file: SourceFile,
    named: dict[str, SourceFile],
    located: dict[str, Found],
    registry: Registry,
) -> Path:
    """The path of a file; one that is in parts or in an archive is put into the store first."""
    if file.path in located:
        return located[file.path].path
    store = registry.store
    if file.archive:
        data = _member(located[file.archive].path, file.path)
    else:
        data = b"".join(
            _extracted(named[p], named, located, registry).read_bytes() for p in file.joined
        )
    return store.path_of(store.add_bytes(data, file.sha256))


def _member(archive: Path, path: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(path)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise IntegrityError(
            "artifact_altered",
            f"cannot read {path} from the source file {archive}: {error}",
            "get the file again from where it came",
        ) from error


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
    """The digest of the file at `place`.

    Raises:
        IntegrityError: `artifact_altered`, the file has another digest than the pinned one; or it
            has no pin, and another MD5 than upstream's.
    """
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
