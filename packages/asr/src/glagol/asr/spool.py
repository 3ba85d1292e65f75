"""Where an upload waits for the model: an unnamed temporary file that is hashed as it fills.

Up to `MEMORY_BYTES` stays in memory, the rest goes to a file without a name (TMPDIR), so nothing
can be left on disk. Memory is bounded by `BATCH_BYTES` whatever the sender does.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from typing import BinaryIO, Final, cast

from glagol.registry.errors import HostError, LimitError

__all__ = ["BATCH_BYTES", "MEMORY_BYTES", "Spool", "too_large"]

MEMORY_BYTES: Final = 1 << 20
BATCH_BYTES: Final = 1 << 20


class Spool:
    """A write-once buffer with a size limit and a running sha256.

    `feed` only collects; `flush` does the blocking work (hashing, writing), so that an event
    loop can send it to a thread. The file belongs to the caller after `finish`.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._batch = bytearray()
        self._digest = hashlib.sha256()
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115
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
        """
        batch, self._batch = self._batch, bytearray()
        try:
            self._digest.update(batch)
            self._file.write(batch)
        except OSError as error:
            raise _host_error(error) from error

    def finish(self) -> tuple[BinaryIO, str]:
        """Flush and rewind.

        Returns:
            The file, at its beginning, and the sha256 (hex) of its bytes.
        """
        self.flush()
        self._file.seek(0)
        return cast("BinaryIO", self._file), self._digest.hexdigest()

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()


def too_large(limit_bytes: int) -> LimitError:
    """The error for more than `limit_bytes` of audio."""
    return LimitError(
        "upload_too_large",
        f"the audio file is larger than {limit_bytes} bytes",
        "send a shorter or compressed file, or raise ASR_MAX_UPLOAD_BYTES",
    )


def _host_error(error: OSError) -> HostError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError(
            "disk_full",
            "no space left for the upload",
            "free space in TMPDIR or point it at a larger disk",
        )
    return HostError("host_io", f"cannot store the upload: {error.strerror}", "check TMPDIR")
