"""Folders and prefixes of object stores, where recordings are read and results are written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from urllib.parse import urlsplit

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from glagol.core.errors import HostError, InputError, LimitError
from glagol.core.files import host_error, write_atomic
from glagol.registry.credentials import KEY_REMEDY, has_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import ObjectMeta

__all__ = ["Entry", "Place", "is_address", "place"]

SPOOL_BYTES_MAX: Final = 16 << 30
"""Largest recording that is brought from an object store."""

_SCHEMES: Final = ("s3",)
_REASON_CHARACTERS: Final = 200


class Entry(msgspec.Struct, frozen=True):
    """A file of a place: name relative to it, size, and what changes when its bytes do."""

    name: str
    size_bytes: int
    version: str


class Place(Protocol):
    """Where files are."""

    def files(self, below: str) -> Iterator[Entry]:
        """The files whose names begin with `below`, in any order."""

    def look(self, name: str) -> Entry | None:
        """One file, without its bytes; None where there is none."""

    def address(self, name: str) -> str:
        """The name of a file for people, and for `place`."""

    def read(self, name: str) -> bytes:
        """The bytes of a file."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; one that is there is replaced.

        Raises:
            HostError: `disk_full`, `host_io`.
        """

    def remove(self, name: str) -> None:
        """Remove a file."""


def is_address(name: str) -> bool:
    """Whether a name is an address of an object store."""
    return name.partition("://")[0] in _SCHEMES and "://" in name


def place(where: str) -> Place:
    """The folder or prefix of that path or address.

    Raises:
        InputError: `setting_invalid`, credentials are missing; `option_invalid`, no such address.
    """
    if "://" not in where:
        return Folder(Path(where))
    parts = urlsplit(where)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise InputError(
            "option_invalid", f"{where} is no address of a store", "use s3://BUCKET/PREFIX"
        )
    if not has_key():
        raise InputError("setting_invalid", f"{where} needs credentials", KEY_REMEDY)
    return Bucket(parts.netloc, parts.path.strip("/"))


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a file system."""

    path: Path

    def files(self, below: str) -> Iterator[Entry]:
        """As `Place.files`."""
        for folder, _, names in os.walk(self.path / below):
            for name in sorted(names):
                found = self.look(Path(folder, name).relative_to(self.path).as_posix())
                if found is not None:
                    yield found

    def look(self, name: str) -> Entry | None:
        """As `Place.look`."""
        try:
            about = (self.path / name).stat()
        except OSError:
            return None
        return Entry(name, about.st_size, str(about.st_mtime_ns))

    def address(self, name: str) -> str:
        """As `Place.address`."""
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """As `Place.read`.

        Raises:
            HostError: `host_io`.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise host_error(error, self.path / name) from error

    def write(self, name: str, data: bytes) -> None:
        """As `Place.write`."""
        write_atomic(self.path / name, data)

    def remove(self, name: str) -> None:
        """As `Place.remove`."""
        (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A prefix of an S3 bucket; its server and keys are those of the AWS_* variables."""

    bucket: str
    prefix: str
    _stores: list[S3Store] = field(default_factory=list)

    def files(self, below: str) -> Iterator[Entry]:
        """As `Place.files`.

        Raises:
            HostError: `host_io`.
        """
        try:
            for page in obstore.list(self._store, self._key(below) or None):
                yield from map(self._entry, page)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(below, error) from error

    def look(self, name: str) -> Entry | None:
        """As `Place.look`."""
        try:
            return self._entry(obstore.head(self._store, self._key(name)))
        except (BaseError, OSError, ValueError):
            return None

    def address(self, name: str) -> str:
        """As `Place.address`."""
        return f"s3://{self.bucket}/{self._key(name)}"

    def read(self, name: str) -> bytes:
        """As `Place.read`.

        Raises:
            HostError: `host_io`.
        """
        try:
            return bytes(obstore.get(self._store, self._key(name)).bytes())
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def write(self, name: str, data: bytes) -> None:
        """As `Place.write`.

        Raises:
            HostError: `host_io`.
        """
        try:
            obstore.put(self._store, self._key(name), data)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def remove(self, name: str) -> None:
        """As `Place.remove`.

        Raises:
            HostError: `host_io`.
        """
        try:
            obstore.delete(self._store, self._key(name))
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def bring(self, name: str, into: BinaryIO) -> Entry:
        """Copy a file into another one; what it was.

        Raises:
            InputError: `audio_not_found`.
            LimitError: `upload_too_large`.
            HostError: `host_io`, `disk_full`.
        """
        try:
            answer = obstore.get(self._store, self._key(name))
            entry = self._entry(answer.meta)
            if entry.size_bytes > SPOOL_BYTES_MAX:
                raise LimitError(
                    "upload_too_large",
                    f"{self.address(name)} has {entry.size_bytes} bytes",
                    f"split it: a recording may have {SPOOL_BYTES_MAX}",
                )
            into.writelines(answer.stream(min_chunk_size=1 << 20))
        except FileNotFoundError as error:
            raise InputError(
                "audio_not_found", f"there is no {self.address(name)}", "check the list"
            ) from error
        except (BaseError, ValueError) as error:
            raise self._failed(name, error) from error
        except OSError as error:
            raise host_error(error, Path("the spool")) from error
        return entry

    @property
    def _store(self) -> S3Store:
        if not self._stores:
            self._stores.append(S3Store(self.bucket, client_options={"timeout": "60 seconds"}))
        return self._stores[0]

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name) if part)

    def _entry(self, meta: ObjectMeta) -> Entry:
        name = meta["path"].removeprefix(f"{self.prefix}/" if self.prefix else "")
        return Entry(name, meta["size"], meta["e_tag"] or str(meta["last_modified"]))

    def _failed(self, name: str, error: Exception) -> HostError:
        reason = str(error).partition("\n")[0][:_REASON_CHARACTERS]
        return HostError(
            "host_io", f"{self.address(name)}: {reason}", "check the store and its credentials"
        )
