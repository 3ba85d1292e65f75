"""Recordings that are still arriving: a file that grows, piece by piece, over any number of tries.

How far an upload is, is the size of its file; so a killed server knows as much as one that ran on.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from glagol.core.errors import InputError, LimitError
from glagol.core.files import host_error, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from glagol.gateway.library.library import Library, Recording

__all__ = ["Uploads", "media_type"]

UNKNOWN: Final = -1
"""Size of an upload whose length is not known before its end."""

_READ: Final = 1 << 20
_HEAD: Final = 16
_MAGIC: Final = (
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "audio/mp4"),
    (0, b"OggS", "audio/ogg"),
    (0, b"\x1aE\xdf\xa3", "audio/webm"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
)


class Uploads:
    """The uploads of one library; methods wait for the disk and are safe from any thread.

    Args:
        library: Where recordings go.
        root: Folder of the files that grow; on the library's disk.
        bytes_max: Largest recording.

    Raises:
        HostError: `host_io`, `disk_full`; so does every method.
    """

    def __init__(self, library: Library, root: Path, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._library = library
        self._root = root
        self._writing: set[str] = set()
        self._lock = threading.Lock()
        try:
            private_folder(root)
        except OSError as error:
            raise host_error(error, root) from error

    def begin(
        self, *, owner: str, title: str, folder: int, length: int, options: Mapping[str, str]
    ) -> Recording:
        """A recording that begins to arrive.

        Args:
            owner: The person that uploads it.
            title: Name of its file.
            folder: Where it goes.
            length: Its size; `UNKNOWN` until it ends.
            options: Of its transcription.

        Raises:
            LimitError: `upload_too_large`.
            InputError: `folder_unknown`.
        """
        self._check(length)
        made = self._library.add(
            owner=owner, title=title, folder=folder, bytes_=length, options=options
        )
        path = self._path(made.id)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise host_error(error, path) from error
        return made

    def size(self, identity: str) -> int:
        """How many bytes of a recording are there.

        Raises:
            InputError: `upload_unknown`, it is not arriving.
        """
        try:
            return self._path(identity).stat().st_size
        except FileNotFoundError:
            raise _unknown() from None
        except OSError as error:
            raise host_error(error, self._path(identity)) from error

    def sizes(self) -> dict[str, int]:
        """How many bytes of each recording that is arriving are there."""
        found = {}
        for path in self._root.iterdir():
            try:
                found[path.name] = path.stat().st_size
            except FileNotFoundError:
                continue
        return found

    @contextmanager
    def writing(self, identity: str, offset: int) -> Iterator[Writer]:
        """Append to a recording from `offset` on; what was written is on the disk afterwards.

        Raises:
            InputError: `upload_unknown`; `upload_state`, it is elsewhere, or another request
                writes.
        """
        with self._lock:
            if identity in self._writing:
                raise InputError(
                    "upload_state",
                    "another request is sending this",
                    "ask where it is, continue there",
                )
            self._writing.add(identity)
        try:
            size = self.size(identity)
            if offset != size:
                raise InputError(
                    "upload_state",
                    f"{size} bytes are there, and the request begins at {offset}",
                    "continue at Upload-Offset",
                )
            limit = self._library.read(identity).bytes
            with Writer(self._path(identity), size, self.bytes_max if limit < 0 else limit) as made:
                yield made
        finally:
            with self._lock:
                self._writing.discard(identity)

    def sized(self, identity: str, length: int) -> None:
        """The length of a recording is known now.

        Raises:
            LimitError: `upload_too_large`.
        """
        self._check(length)
        self._library.sized(identity, length)

    def finish(self, identity: str) -> Recording:
        """Move a whole recording into the library."""
        path = self._path(identity)
        sha256, head = hashlib.sha256(), b""
        try:
            with path.open("rb") as file:
                while piece := file.read(_READ):
                    head = head or piece[:_HEAD]
                    sha256.update(piece)
            size = path.stat().st_size
        except OSError as error:
            raise host_error(error, path) from error
        self._library.arrived(identity, path, sha256=sha256.hexdigest(), bytes_=size)
        playable = bool(media_type(head))
        return self._library.decoded(identity, "original" if playable else "none", peaks=False)

    def drop(self, identity: str) -> None:
        """Forget what has arrived of a recording."""
        self._path(identity).unlink(missing_ok=True)

    def _check(self, length: int) -> None:
        if length > self.bytes_max:
            raise LimitError(
                "upload_too_large",
                f"the recording has {length} bytes, at most {self.bytes_max} are taken",
                "split it, or ask the administrator for a higher limit",
            )

    def _path(self, identity: str) -> Path:
        if not identity.isalnum():
            raise _unknown()
        return self._root / identity


class Writer:
    """Appends to one file.

    Args:
        path: The file.
        size: Bytes that are there.
        limit: Bytes that may be there.
    """

    def __init__(self, path: Path, size: int, limit: int) -> None:
        self.size = size
        self._path = path
        self._limit = limit
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise host_error(error, self._path) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Append `data`, whole.

        Raises:
            LimitError: `upload_too_large`, there is no place for it.
        """
        if self.size + len(data) > self._limit:
            raise LimitError(
                "upload_too_large",
                f"more than {self._limit} bytes came",
                "send what was announced, or ask the administrator for a higher limit",
            )
        if self._file is None:
            raise AssertionError("the writer is not open")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise host_error(error, self._path) from error
        self.size += len(data)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise host_error(error, self._path) from error


def media_type(head: bytes) -> str:
    """What browsers call a file that begins with `head`; empty where they cannot play it."""
    return next((name for at, sign, name in _MAGIC if head[at : at + len(sign)] == sign), "")


def _unknown() -> InputError:
    return InputError(
        "upload_unknown", "nothing arrives under this address", "see the list of recordings"
    )
