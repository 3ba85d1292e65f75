"""Find the recordings of an archive: a folder, a pattern, a list, a prefix of an object store."""

from __future__ import annotations

import csv
import glob
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.archive.places import is_address, place
from glagol.core.errors import InputError
from glagol.core.files import host_error
from glagol.speech.audio.allowed import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LISTS", "Source", "listed"]

LISTS: Final = frozenset({".csv", ".parquet"})
"""Endings of files that are lists of recordings."""


class Source(msgspec.Struct, frozen=True):
    """One recording as it was listed.

    Attributes:
        name: path, or address in an object store.
        place: relative path that its results have, with the recording's own suffix.
        size_bytes: 0 where it could not be looked at; opening it says why.
        version: time of its last change in nanoseconds, or the store's tag; empty if unknown.
    """

    name: str
    place: str
    size_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    place: str

    def source(self) -> Source:
        try:
            about = self.path.stat()
        except OSError:
            return Source(str(self.path), self.place, 0, "")
        return Source(str(self.path), self.place, about.st_size, str(about.st_mtime_ns))


def listed(
    where: str, *, column: str, parquet: Callable[[Path, str], Iterator[str]]
) -> Iterator[Source]:
    """The recordings that a source means, one after the other.

    Args:
        where: a folder (with all below it), a pattern, a `.csv` or `.parquet` list of paths and
            addresses, `s3://BUCKET/PREFIX`, or one recording.
        column: of a list, that names the recordings. Relative paths are below the list's folder.
        parquet: reads a column of texts of a parquet file.

    Yields:
        Each recording; one that does not exist as well. Hidden files, and in folders and stores
        files that are not named as recordings are, are left out.

    Raises:
        InputError: `audio_not_found`, there is nothing; `option_invalid`, a list without the
            column; `setting_invalid`, credentials are missing.
        HostError: the folder or store cannot be read.
    """
    path = Path(where)
    if is_address(where):
        yield from _stored(where)
    elif path.is_dir():
        yield from _below(path)
    elif path.suffix.lower() in LISTS and path.is_file():
        yield from _named(path, column, parquet)
    elif glob.has_magic(where) and not path.exists():
        for match in sorted(glob.iglob(where, recursive=True)):  # noqa: PTH207 - may be absolute
            if Path(match).is_file():
                yield _Found(Path(match), _relative(match)).source()
    elif path.is_file():
        yield _Found(path, path.name).source()
    else:
        raise InputError(
            "audio_not_found",
            f"there is no {where}",
            "name a folder, a pattern, a .csv or .parquet list, or s3://BUCKET/PREFIX",
        )


def _below(folder: Path) -> Iterator[Source]:
    def refuse(error: OSError) -> None:
        raise host_error(error, folder) from error

    for place_, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if _is_recording(name):
                path = Path(place_, name)
                yield _Found(path, path.relative_to(folder).as_posix()).source()


def _stored(address: str) -> Iterator[Source]:
    store = place(address)
    for entry in store.files(""):
        if _is_recording(PurePosixPath(entry.name).name):
            yield Source(store.address(entry.name), entry.name, entry.size_bytes, entry.version)


def _named(
    path: Path, column: str, parquet: Callable[[Path, str], Iterator[str]]
) -> Iterator[Source]:
    names = parquet(path, column) if path.suffix.lower() == ".parquet" else _cells(path, column)
    for name in names:
        if is_address(name):
            folder, _, last = name.rpartition("/")
            entry = place(folder).look(last)
            size, version = (0, "") if entry is None else (entry.size_bytes, entry.version)
            yield Source(name, _relative(name.partition("://")[2]), size, version)
        elif name:
            yield _Found(path.parent / name, _relative(name)).source()


def _cells(path: Path, column: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if column not in (rows.fieldnames or ()):
            raise no_column(path, column, rows.fieldnames or ())
        for row in rows:
            yield (row[column] or "").strip()


def no_column(path: Path, column: str, known: object) -> InputError:
    """The error of a list that has no such column."""
    names = ", ".join(str(name) for name in known) if isinstance(known, list | tuple) else ""
    return InputError(
        "option_invalid",
        f"{path} has no column {column!r}",
        f"name one of its columns with --column: {names or 'it has none'}",
    )


def _relative(name: str) -> str:
    """A path below a folder: what leads out of it has another name there."""
    parts = PurePosixPath(name).parts
    return "/".join("__" if part == ".." else part for part in parts if part != "/")


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in SUFFIXES
