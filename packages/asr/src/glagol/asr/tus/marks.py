"""How many bytes of an upload count while a checksummed body arrives; it outlives kill -9.

A body with a checksum counts as a whole or not at all. Before its first byte is written a mark is
left beside the upload that says how many bytes count; it goes when the body was compared.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from glagol.core.files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SUFFIX", "Marks"]

SUFFIX: Final = ".unchecked"
"""Of a mark's name."""


class Marks:
    """The marks of the uploads in one folder.

    Args:
        folder: Where the uploads lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def there(self, upload_id: str) -> bool:
        """Whether an upload has a mark."""
        return self._path(upload_id).exists()

    def counted(self, upload_id: str, size: int) -> int:
        """How many bytes count: what the mark says, `size` without one."""
        try:
            return int(self._path(upload_id).read_bytes())
        except FileNotFoundError:
            return size
        except ValueError:  # not as it was written: then nothing is sure
            return 0

    def put(self, upload_id: str, size: int) -> None:
        """Let only `size` bytes count from now on; on the disk when this returns."""
        part = self._folder / f".{upload_id}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"%d" % size)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._path(upload_id))
        sync_folder(self._folder)

    def clear(self, upload_id: str) -> None:
        """Let every byte of the file count again."""
        self._path(upload_id).unlink()
        sync_folder(self._folder)  # before the answer: else a power cut takes it back

    def _path(self, upload_id: str) -> Path:
        return self._folder / (upload_id + SUFFIX)
