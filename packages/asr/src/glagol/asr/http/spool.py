"""Store an upload in an unnamed temporary file, and hash it on the way.

Up to `MEMORY_BYTES` stay in memory, the rest goes to a file without a name, so nothing is left on
the disk when the process dies. Memory is bounded by `BATCH_BYTES`, however fast the client is.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from glagol.core.errors import HostError, LimitError

__all__ = ["ANYWHERE", "BATCH_BYTES", "MEMORY_BYTES", "Place", "Spool", "host_error", "too_large"]

MEMORY_BYTES: Final = 1 << 20
BATCH_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body is stored, and the check of its size.

    Attributes:
        folder: Where the unnamed file is made; None means TMPDIR.
        room: Called with the size so far before each write; raises when there is no room for it.
    """

    folder: Path | None = None
    room: Callable[[int], None] = lambda _: None


ANYWHERE: Final = Place()


class Spool:
    """A write-once buffer with a size limit and a running sha256.

    `feed` only collects; `flush` does the blocking work (hashing, writing), so that an event
    loop can send it to a thread. The file belongs to the caller after `finish`.

    Args:
        limit_bytes: More than this is refused.
        place: Where it goes.
    """

    def __init__(self, limit_bytes: int, place: Place = ANYWHERE) -> None:
        self._limit_bytes = limit_bytes
        self._place = place
        self._batch = bytearray()
        self._digest = hashlib.sha256()
        self._file: BinaryIO = io.BytesIO()
        self._named = False
        self.size_bytes = 0

    def feed(self, chunk: bytes) -> bool:
        """Take `chunk`.

        Returns:
            Whether enough has been collected that `flush` should be called.

        Raises:
            LimitError: `upload_too_large`.
        """
        self.size_bytes += len(chunk)
        if self.size_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        self._batch += chunk
        return len(self._batch) >= BATCH_BYTES

    def flush(self) -> None:
        """Hash and write what was collected.

        Raises:
            HostError: `disk_full` or `host_io`.
            LimitError: `spool_full`.
        """
        batch, self._batch = self._batch, bytearray()
        self._place.room(self.size_bytes)
        try:
            self._digest.update(batch)
            if isinstance(self._file, io.BytesIO) and self.size_bytes > MEMORY_BYTES:
                self._to_disk(self._file)
            self._file.write(batch)
        except OSError as error:
            raise host_error(
                error, "TMPDIR" if self._place.folder is None else "ASR_STATE"
            ) from error

    def finish(self) -> tuple[BinaryIO, str]:
        """Flush and rewind.

        Returns:
            The file, at its beginning, and the sha256 (hex) of its bytes.
        """
        self.flush()
        try:
            self._file.seek(0)
        except OSError as error:  # the last bytes leave the buffer here
            raise host_error(
                error, "TMPDIR" if self._place.folder is None else "ASR_STATE"
            ) from error
        return self._file, self._digest.hexdigest()

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()

    def _to_disk(self, memory: io.BytesIO) -> None:
        self._file = _unnamed(self._place.folder)
        with memory:
            self._file.write(memory.getbuffer())


def too_large(limit_bytes: int) -> LimitError:
    """The error for more than `limit_bytes` of audio."""
    return LimitError(
        "upload_too_large",
        f"the audio file is larger than {limit_bytes} bytes",
        "send a shorter or compressed file, or raise ASR_MAX_UPLOAD_BYTES",
    )


def host_error(error: OSError, variable: str) -> HostError:
    """The error for a disk that does not take an upload; `variable` says where it lies."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError(
            "disk_full",
            "no space left for the upload",
            f"free space in {variable} or point it at a larger disk",
        )
    return HostError("host_io", f"cannot store the upload: {error.strerror}", f"check {variable}")


def _unnamed(folder: Path | None) -> BinaryIO:
    """A file without a name; where the file system can, one that may get a name later."""
    where = folder or tempfile.gettempdir()
    try:  # tempfile's own has O_EXCL, which forbids naming it later
        descriptor = os.open(where, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return cast("BinaryIO", tempfile.TemporaryFile(dir=where))
    return os.fdopen(descriptor, "w+b")
