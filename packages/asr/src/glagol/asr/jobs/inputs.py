"""The inputs of jobs on disk: one file per job, named by its id, under a quota.

A file gets its name when it is complete and synced, before its job is put. So every job in the
queue has its input, and a file that has no job after `ORPHAN_S` is an orphan. The folder may be
shared by several machines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from glagol.asr.http.spool import Place, host_error
from glagol.core.errors import HostError, InputError, LimitError
from glagol.core.files import new_private_file, private_folder, sync_folder

__all__ = ["FREE_BYTES_MIN", "ORPHAN_S", "Inputs"]

ORPHAN_S: Final = 3600.0
FREE_BYTES_MIN: Final = 64 << 20
"""An upload leaves at least this free on the disk, so that the queue can write."""

_FRESH_S: Final = 0.5
_PART: Final = ".part"


class Inputs:
    """The folder of inputs, with its quota.

    Args:
        folder: Created if it does not exist.
        quota_bytes: Returns the quota; called at each check, so that an operator can change it.

    Raises:
        HostError: `host_io`, the folder cannot be made or written.
    """

    def __init__(self, folder: Path, quota_bytes: Callable[[], int]) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        self._arriving_bytes = 0
        self._used = (-_FRESH_S, 0)
        try:
            private_folder(folder)
            (folder / f".{os.getpid()}{_PART}").touch(mode=0o600)
            (folder / f".{os.getpid()}{_PART}").unlink()
        except OSError as error:
            raise host_error(error, "ASR_STATE") from error

    @contextlib.contextmanager
    def arrival(self, announced_bytes: int) -> Iterator[Place]:
        """Reserve the announced size of a body; gives the place where it is stored.

        Args:
            announced_bytes: Its Content-Length; 0 when unknown.

        Raises:
            LimitError: `spool_full`, now or in `Place.room`.
            HostError: `disk_full`, in the same cases.
        """
        taken = 0

        def room(size_bytes: int) -> None:
            nonlocal taken
            if size_bytes > taken:
                self._take(size_bytes - taken)
                taken = size_bytes

        try:
            room(announced_bytes)
            yield Place(self._folder, room)
        finally:
            with self._lock:
                self._arriving_bytes -= taken

    def keep(self, file: BinaryIO, job_id: str) -> None:
        """Give `file` the name of its job and sync it; copy it only where a link is impossible.

        Args:
            file: A file of a `Spool`; it stays open.
            job_id: Id of the job that will be put.

        Raises:
            HostError: `disk_full` or `host_io`.
        """
        try:
            if not self._named(file, job_id):
                self._copied(file, job_id)
            sync_folder(self._folder)
        except OSError as error:
            raise host_error(error, "ASR_STATE") from error
        with self._lock:
            self._used = (-_FRESH_S, 0)

    def open(self, job_id: str) -> BinaryIO:
        """Open the input of a job.

        Raises:
            InputError: `audio_not_found`.
            HostError: `host_io`.
        """
        try:
            return (self._folder / job_id).open("rb")
        except FileNotFoundError as error:
            raise InputError(
                "audio_not_found", f"the input of the job {job_id} is gone", "send it again"
            ) from error
        except OSError as error:
            raise HostError(
                "host_io", f"cannot read the input: {error.strerror}", "check ASR_STATE"
            ) from error

    def has(self, job_id: str) -> bool:
        """Whether the input of a job exists."""
        return (self._folder / job_id).exists()

    def drop(self, job_id: str) -> None:
        """Delete the input of a job, if it exists."""
        with contextlib.suppress(OSError):  # a file that cannot be deleted now is swept later
            (self._folder / job_id).unlink(missing_ok=True)

    def sweep(self, is_over: Callable[[str], bool]) -> int:
        """Remove the inputs that no job needs any more.

        Args:
            is_over: Whether the job with this id has ended for good, or is unknown to the queue.

        Returns:
            How many files were removed.
        """
        removed = 0
        for entry, age_s in self._entries():
            if age_s < ORPHAN_S or not (entry.name.endswith(_PART) or is_over(entry.name)):
                continue
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
                removed += 1
        return removed

    def used_bytes(self) -> int:
        """Bytes in the folder, at most half a second old."""
        now = time.monotonic()
        seen_s, used = self._used
        if now - seen_s > _FRESH_S:
            used = 0
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):  # it was deleted meanwhile
                        used += entry.stat().st_size
            self._used = (now, used)
        return used

    def _take(self, size_bytes: int) -> None:
        with self._lock:
            try:
                used, free = self.used_bytes(), shutil.disk_usage(self._folder).free
            except OSError as error:
                raise host_error(error, "ASR_STATE") from error
            quota = self._quota_bytes()
            if used + self._arriving_bytes + size_bytes > quota:
                raise LimitError(
                    "spool_full",
                    f"the inputs of jobs would take more than {quota} bytes",
                    "try again when jobs are done, or raise spool_bytes in policy.toml",
                )
            if free - size_bytes < FREE_BYTES_MIN:
                raise HostError(
                    "disk_full",
                    "no space left for the upload",
                    "free space in ASR_STATE or point it at a larger disk",
                )
            self._arriving_bytes += size_bytes

    def _named(self, file: BinaryIO, job_id: str) -> bool:
        """Link the unnamed file into the folder (linkat, Linux); False where that is impossible."""
        try:
            descriptor = file.fileno()
        except OSError:  # the file is in memory
            return False
        file.flush()
        os.fsync(descriptor)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(f"/proc/self/fd/{descriptor}", job_id, dst_dir_fd=folder, follow_symlinks=True)
        except OSError:  # on another file system, or not supported
            return False
        finally:
            os.close(folder)
        return True

    def _copied(self, file: BinaryIO, job_id: str) -> None:
        part = self._folder / f".{job_id}{_PART}"
        try:
            with new_private_file(part) as copy:
                file.seek(0)
                shutil.copyfileobj(file, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            part.rename(self._folder / job_id)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], float]]:
        """Files and how many seconds ago their bytes or names changed."""
        now = time.time()
        try:
            with os.scandir(self._folder) as entries:
                for entry in list(entries):
                    with contextlib.suppress(OSError):
                        stat = entry.stat()
                        yield entry, now - max(stat.st_ctime, stat.st_mtime)
        except OSError:
            return
