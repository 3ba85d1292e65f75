"""Change the disk during an installation, one primitive operation at a time.

No other module of the installation writes to the disk. `before` is called ahead of each operation
with its name and path; tests raise "disk full" or kill the process there. This module, and all
modules that `apply` imports, need only the standard library of Python 3.11, since install.sh runs
them before the environment exists.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glagol.core.files import host_error, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


def _nothing(_operation: str, _path: Path) -> None:
    return


@dataclass(frozen=True, slots=True)
class Disk:
    """Writes to the disk of a target.

    Every method raises HostError `disk_full` or `host_io`.

    Attributes:
        before: called as `before(operation, path)` ahead of each primitive operation.
    """

    before: Callable[[str, Path], None] = _nothing

    def folder(self, path: Path) -> None:
        """Make a folder and its parents."""
        if not path.is_dir():
            with self._step("mkdir", path):
                path.mkdir(parents=True, exist_ok=True)

    def file(self, path: Path, chunks: Iterable[bytes], mode: int) -> None:
        """Write a file atomically: into a temporary file beside it, synced, then renamed.

        An exception from `chunks` leaves an old file unchanged.
        """
        part = path.with_name(path.name + ".partial")
        try:
            with self._step("open", part):
                part.unlink(missing_ok=True)  # that of a killed run may be read-only
                file = part.open("wb", buffering=0)  # a full buffer would fail again at the close
            with file:
                for data in chunks:
                    with self._step("write", part):
                        left = memoryview(data)
                        while left:
                            left = left[file.write(left) :]
                with self._step("sync", part):
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
            self.rename(part, path)
        finally:
            part.unlink(missing_ok=True)

    def link(self, path: Path, to: Path) -> None:
        """Make `path` a hard link to the file `to`; a copy if the file system has no hard links."""
        with self._step("link", path):
            try:
                path.hardlink_to(to)
            except PermissionError:
                shutil.copyfile(to, path)

    def point(self, path: Path, to: str) -> None:
        """Make the symbolic link `path` point to `to`, by one atomic rename."""
        part = path.with_name(path.name + ".partial")
        with self._step("unlink", part):
            part.unlink(missing_ok=True)
        with self._step("symlink", part):
            part.symlink_to(to)
        self.rename(part, path)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or folder, and sync the folder that contains the new name."""
        with self._step("rename", new):
            old.replace(new)
        with self._step("syncdir", new.parent):
            sync_folder(new.parent)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or a whole folder; do nothing when it does not exist."""
        if not path.is_symlink() and not path.exists():
            return
        with self._step("remove", path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def settle(self, path: Path) -> None:
        """Sync all file systems, so that files which other programs wrote are on the disk too."""
        with self._step("settle", path):
            os.sync()

    @contextmanager
    def _step(self, operation: str, path: Path) -> Iterator[None]:
        try:
            self.before(operation, path)
            yield
        except OSError as failed:
            raise host_error(failed, path) from failed
