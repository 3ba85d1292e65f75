"""Write files atomically, and translate errors of the operating system.

It uses the standard library only: the installer of an offline bundle imports it before the
environment with the dependencies exists.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "DISK_FULL",
    "host_error",
    "new_private_file",
    "private_folder",
    "sync_folder",
    "write_atomic",
]

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def host_error(error: OSError, path: Path) -> HostError:
    """Translate an operating system error into one that an operator can act on.

    Args:
        error: The error.
        path: The file concerned, when the error itself names none.

    Returns:
        `disk_full` for an exhausted disk, quota or file size limit, else `host_io`.
    """
    place = error.filename or path
    if error.errno in DISK_FULL:
        return HostError(
            "disk_full",
            f"no room to write {place}: {error.strerror}",
            "free some space or use another disk; the same command then continues",
        )
    return HostError("host_io", f"{place}: {error.strerror}", "check the path and its permissions")


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a whole file: to a temporary name, synced, then renamed into place.

    Args:
        path: The file; its folder is made when absent.
        data: Its bytes.
        mode: Its permissions from the first byte on, less the process's umask.

    Raises:
        HostError: `disk_full` or `host_io`.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise host_error(error, path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def private_folder(folder: Path) -> None:
    """Make a folder and its missing parents, readable by the owner only, whatever the umask.

    An existing folder keeps its mode, which an operator may have chosen.

    Raises:
        OSError: The folder cannot be made.
    """
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # raises for a file in its place


def new_private_file(path: Path) -> BinaryIO:
    """Create a file that only its owner may read, whatever the umask, and open it for writing.

    Raises:
        OSError: The file exists already, or cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that files that were created or renamed in it survive a power cut.

    Raises:
        OSError: The folder cannot be opened or synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
