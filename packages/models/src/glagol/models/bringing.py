"""Fetch the missing source files of a build: from a package index or from addresses, in order.

The sources of a file are the archive that contains it, its addresses, and then the same of each
file that may replace it. A source that fails is reported, and the next one is tried.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from glagol.core.errors import IntegrityError
from glagol.models import package_index
from glagol.models.sources import Found, lacking_archives, missing

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, SourceFile
    from glagol.registry.registry import Registry

    Progress = Callable[[int, int | None], None]

__all__ = ["bring"]

_Way: TypeAlias = "tuple[str, Callable[[], SourceFile]]"
"""The name of a source, and the function that fetches a file from it."""


def bring(
    model: Model,
    registry: Registry,
    located: dict[str, Found],
    *,
    pinned: Callable[[Model], None] | None,
    gone: Callable[[str], None],
    progress: Progress | None = None,
) -> Model:
    """Fetch the files that a build of `model` lacks into the store; partial files are continued.

    Args:
        model: The entry.
        registry: Its store takes the files.
        located: Source files that this machine has already, by path.
        pinned: Called with the entry whenever a new digest is known; None forbids fetching a file
            without one.
        gone: Called with a line of text for each source that fails while others are left.
        progress: Called with bytes done and bytes in all.

    Returns:
        The entry, with the digests of files that were fetched for the first time.

    Raises:
        IntegrityError: no source delivered a file (this is the first source's error);
            `artifact_unpinned`, a file has no digest and `pinned` is None.
        HostError: `disk_full` or `host_io`.
    """
    fetcher = _Fetcher(model, registry, located, pinned is not None, progress)
    for file in missing(model, located):
        others = [other for other in model.source.files if other.alternative_to == file.path]
        ways = [way for candidate in (file, *others) for way in fetcher.ways(candidate)]
        first: IntegrityError | None = None
        for number, (name, fetch_it) in enumerate(ways, start=1):
            try:
                fetched = fetch_it()
            except IntegrityError as error:
                first = first or error
                if number < len(ways):
                    gone(f"{model.id}: {name} is no source of {file.path}: {error.message}")
                continue
            model = _with_digest(model, fetched)
            if model != fetcher.model and pinned is not None:
                fetcher.model = model
                pinned(model)
            break
        else:
            assert first is not None  # noqa: S101 - there is at least one way
            raise first
    return model


class _Fetcher:
    """Fetches the files of one model from their sources."""

    def __init__(
        self,
        model: Model,
        registry: Registry,
        located: dict[str, Found],
        pinning: bool,
        progress: Progress | None,
    ) -> None:
        self.model = model
        self._store = registry.store
        self._located = located
        self._pinning = pinning
        self._progress = progress

    def ways(self, file: SourceFile) -> Iterator[_Way]:
        """Every source of a file, in the order in which they are tried; at least one."""
        archives = lacking_archives(self.model, file, self._located)
        if archives and all(archive.urls for archive in archives):
            names = " and ".join(archive.path for archive in archives)
            yield names, lambda: self._from_archives(file, archives)
        if file.sha256 is None:
            yield file.urls[0] if file.urls else file.path, lambda: self._pinned(file)
        elif not file.urls:
            yield file.path, lambda: self._fetched(file)
        for url in file.urls if file.sha256 is not None else ():
            single = msgspec.structs.replace(file, urls=(url,))
            yield url, lambda single=single: self._fetched(single)  # type: ignore[misc]

    def _fetched(self, file: SourceFile) -> SourceFile:
        from glagol.registry.fetch import fetch

        fetch(file, self._store, progress=self._progress)
        return file

    def _pinned(self, file: SourceFile) -> SourceFile:
        from glagol.registry.fetch import pin

        if not self._pinning:
            raise IntegrityError(
                "artifact_unpinned",
                f"{file.path} has no sha256 in the manifest: {file.unpinned}",
                "add --record to take what upstream serves now, and review the diff",
            )
        return pin(file, self._store, progress=self._progress)

    def _from_archives(self, file: SourceFile, archives: list[SourceFile]) -> SourceFile:
        for archive in archives:
            if self._have(archive):
                continue  # fetched for another file of the same archive
            failed: IntegrityError | None = None
            for address in archive.urls:
                try:
                    if address.startswith(package_index.PREFIX):
                        self._unpacked(archive, address)
                    else:
                        self._fetched(msgspec.structs.replace(archive, urls=(address,)))
                    break
                except IntegrityError as error:
                    failed = failed or error
            else:
                assert failed is not None  # noqa: S101 - the archive has addresses
                raise failed
        return file

    def _members(self, archive: SourceFile) -> Iterator[SourceFile]:
        return (file for file in self.model.source.files if file.archive == archive.path)

    def _have(self, archive: SourceFile) -> bool:
        """Whether the store has all files of an archive that the manifest names."""
        pins = [file.sha256 for file in self._members(archive)]
        return all(pin is not None and self._store.has(pin) for pin in pins)

    def _unpacked(self, archive: SourceFile, address: str) -> None:
        """Add the files of a wheel that the manifest names to the store."""
        incoming = self._store.root / "incoming"
        folder = incoming / f"{archive.sha256}.{os.getpid()}"
        try:
            incoming.mkdir(parents=True, exist_ok=True)
            package_index.unpack(archive, address, folder)
            for file in self._members(archive):
                self._store.add_file(folder / file.path, file.sha256)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _with_digest(model: Model, fetched: SourceFile) -> Model:
    """The entry with the digest of a file that was fetched for the first time."""

    def updated(old: SourceFile) -> SourceFile:
        if old.path != fetched.path or old.sha256 is not None:
            return old
        return msgspec.structs.replace(
            old, sha256=fetched.sha256, size_bytes=fetched.size_bytes, unpinned=fetched.unpinned
        )

    files = tuple(updated(old) for old in model.source.files)
    return msgspec.structs.replace(model, source=msgspec.structs.replace(model.source, files=files))
