"""Makes of each recording what a browser plays and draws: a listening copy and its peaks.

Recordings are opened in child processes of the media jail, one at a time and after their texts, so
that no person waits for a copy.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from glagol.core import journal
from glagol.core.errors import GlagolError, InputError
from glagol.core.executors import call
from glagol.core.files import host_error, write_atomic

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from glagol.gateway.library.library import Library
    from glagol.gateway.work.events import Events
    from glagol.speech.audio.jail.pool import Copied, Jail

__all__ = ["Copies"]

PAUSE_S: Final = 1.0
SECONDS_MAX: Final = 7 * 86_400.0
_PART: Final = "listen.part"
_WHO: Final = "library"


class Copies:
    """The loop.

    Args:
        library: Which recordings there are, and where copies go.
        jail: Opens recordings.
        events: Receives the changes.
        disk: Threads that wait for the library.
    """

    def __init__(self, library: Library, jail: Jail, events: Events, disk: Executor) -> None:
        self._library = library
        self._jail = jail
        self._events = events
        self._disk = disk
        self._child = ThreadPoolExecutor(1, thread_name_prefix="copies")
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Work until the task is cancelled."""
        try:
            await self._work()
        finally:
            self._child.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            try:
                made = await self.turn()
            except GlagolError as error:
                journal.error("copies wait", error, level=logging.WARNING)
                made = False
            if not made:
                await asyncio.sleep(PAUSE_S)

    async def turn(self) -> bool:
        """Make the next copy; whether there was one to make.

        Raises:
            HostError: The library's disk.
        """
        wanted = await call(self._disk, self._wanted)
        if wanted is None:
            return False
        try:
            await call(self._child, self._make, wanted)
            self._events.recording(wanted)
        except GlagolError as error:  # tried again when the server starts again
            self._failed.add(wanted)
            journal.error("no listening copy", error, level=logging.INFO)
        return True

    def _wanted(self) -> str | None:
        with self._library.db.reading() as db:
            rows = db.execute(
                "SELECT id FROM recording WHERE peaks = 0 AND audio_sha256 <> '' "
                "AND state IN ('done', 'failed') ORDER BY number"
            )
            for (identity,) in rows:
                there = self._library.files.path(identity, "original").exists()
                if identity not in self._failed and there:
                    return str(identity)
        return None

    def _make(self, identity: str) -> None:
        files = self._library.files
        original = files.path(identity, "original")
        part = original.with_name(_PART)
        try:
            with original.open("rb") as file, part.open("wb+") as into:
                copied: Copied = self._jail.copy(file, into, max_seconds=SECONDS_MAX, owner=_WHO)
            files.take(identity, part, "listen.mp4")
            write_atomic(files.path(identity, "peaks.i8"), copied.peaks, mode=0o600)
        except OSError as error:
            raise host_error(error, part) from error
        finally:
            part.unlink(missing_ok=True)
        known = {"channels": copied.channels}
        try:
            if self._library.read(identity).duration_ms is None:
                known["duration_ms"] = round(1000 * copied.seconds)
            self._library.decoded(identity, "copy", peaks=True, **known)
        except InputError:  # it was deleted meanwhile; nothing of it may come back
            files.remove(identity)
            raise
