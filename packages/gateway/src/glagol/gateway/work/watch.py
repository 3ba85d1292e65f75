"""A directory whose files become recordings: what is dropped there moves into the library.

A file is taken once it has not changed for a few seconds, and leaves the directory when the library
has it whole. Names that begin with a dot, links and folders are left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import stat
from typing import TYPE_CHECKING, Final

from glagol.core import journal
from glagol.core.errors import GlagolError
from glagol.core.executors import call
from glagol.core.files import host_error
from glagol.gateway.library.folders import COMMON

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from glagol.gateway.library.library import Library
    from glagol.gateway.work.events import Events
    from glagol.gateway.work.uploads import Uploads

__all__ = ["OWNER", "Watch"]

OWNER: Final = "watch"
"""Who brings what is found there."""

LOOK_S: Final = 1.0
STILL_S: Final = 5.0
_READ: Final = 1 << 20

Shape = tuple[int, int]


class Watch:
    """The loop.

    Args:
        folder: The directory.
        library: Which recordings there are.
        uploads: Where files go.
        events: Receives the changes.
        disk: Threads that wait for the library.
        clock: Unix seconds.
    """

    def __init__(
        self,
        folder: Path,
        library: Library,
        uploads: Uploads,
        events: Events,
        disk: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._library = library
        self._uploads = uploads
        self._events = events
        self._disk = disk
        self._clock = clock
        self._seen: dict[Path, tuple[Shape, float]] = {}
        self._refused: set[tuple[Path, Shape]] = set()

    async def run(self) -> None:
        """Look until the task is cancelled."""
        while True:
            try:
                await self.turn()
            except GlagolError as error:
                journal.error("the watched directory waits", error, level=logging.WARNING)
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> list[str]:
        """Take every file that is still; ids of the recordings.

        Raises:
            HostError: The directory or the library's disk.
        """
        made = []
        for path, shape in await call(self._disk, self._still):
            try:
                identity = await call(self._disk, self._take, path)
            except GlagolError as error:  # this file as it is; a changed one is tried again
                self._refused.add((path, shape))
                journal.error("a file was not taken", error, level=logging.WARNING)
                continue
            if identity:
                made.append(identity)
                self._events.recording(identity)
        return made

    def _still(self) -> list[tuple[Path, Shape]]:
        """Files that have not changed for a while, with size and time of change."""
        now, there = self._clock(), {}
        try:
            for path in sorted(self._folder.iterdir()):
                about = path.lstat()
                if stat.S_ISREG(about.st_mode) and not path.name.startswith("."):
                    there[path] = (about.st_size, about.st_mtime_ns)
        except OSError as error:
            raise host_error(error, self._folder) from error
        known = self._seen
        self._seen = {
            path: known[path] if path in known and known[path][0] == shape else (shape, now)
            for path, shape in there.items()
        }
        return [
            (path, shape)
            for path, (shape, since_s) in self._seen.items()
            if now - since_s >= STILL_S and (path, shape) not in self._refused
        ]

    def _take(self, path: Path) -> str:
        """Move one file into the library; empty where a crash left one that is there already."""
        try:
            if not self._is_there(path):
                made = self._copied(path)
                path.unlink(missing_ok=True)
                return made
            path.unlink(missing_ok=True)
        except OSError as error:
            raise host_error(error, path) from error
        return ""

    def _is_there(self, path: Path) -> bool:
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_READ):
                sha256.update(piece)
        with self._library.db.reading() as db:
            row = db.execute(
                "SELECT 1 FROM recording WHERE audio_sha256 = ? AND owner = ? AND title = ?",
                (sha256.hexdigest(), OWNER, path.name),
            )
            return row.fetchone() is not None

    def _copied(self, path: Path) -> str:
        size = path.stat().st_size
        made = self._uploads.begin(
            owner=OWNER, title=path.name, folder=COMMON, length=size, options={}
        )
        with path.open("rb") as file, self._uploads.writing(made.id, 0) as writer:
            while piece := file.read(_READ):
                writer.write(piece)
            writer.sync()
        self._uploads.finish(made.id)
        return made.id
