"""Deletes what the rules of the folders say, once an hour."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from glagol.core import journal
from glagol.core.errors import GlagolError, HostError
from glagol.core.executors import call
from glagol.gateway.library import deletion

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from glagol.gateway.library.library import Library, Recording
    from glagol.gateway.work.events import Events
    from glagol.gateway.work.transcriber import Transcriber
    from glagol.gateway.work.uploads import Uploads

__all__ = ["Retention"]

PAUSE_S: Final = 3600.0
ABANDONED_S: Final = 7 * 86_400.0
WHO: Final = "retention"
_MANY: Final = 1000


class Retention:
    """The sweep.

    Args:
        library: What is kept.
        uploads: What is arriving; those of a week ago are given up.
        transcriber: Forgets the jobs of what is deleted.
        events: Receives the changes.
        disk: Threads that wait for the library.
        clock: Unix seconds.
    """

    def __init__(
        self,
        library: Library,
        uploads: Uploads,
        transcriber: Transcriber,
        events: Events,
        disk: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._library = library
        self._uploads = uploads
        self._transcriber = transcriber
        self._events = events
        self._disk = disk
        self._clock = clock

    async def run(self) -> None:
        """Sweep until the task is cancelled; first finish what a crash interrupted."""
        lost = await call(self._disk, self._library.finish_deletions)
        if lost:
            journal.write("interrupted deletions were finished", recordings=len(lost))
        while True:
            try:
                await self.sweep()
            except GlagolError as error:
                journal.error("retention waits", error, level=logging.WARNING)
            await asyncio.sleep(PAUSE_S)

    async def sweep(self) -> tuple[int, int]:
        """Delete what is due.

        Returns:
            How many recordings were deleted whole, and of how many the sound.

        Raises:
            HostError: The library's disk; `upstream_unreachable`.
        """
        whole, sound = await call(self._disk, self._due)
        for identity in whole:
            await self._delete(await call(self._disk, self._library.read, identity))
        for identity in sound:
            await call(self._disk, self._library.mute, identity)
            self._events.recording(identity)
        if whole or sound:
            journal.write("retention deleted", recordings=len(whole), sounds=len(sound))
        return len(whole), len(sound)

    def _due(self) -> tuple[list[str], list[str]]:
        now_s = self._clock()
        with self._library.db.reading() as db:
            whole, sound = deletion.due(db, now_s)
            left = deletion.abandoned(db, now_s - ABANDONED_S)
        return whole + left, sound

    async def _delete(self, recording: Recording) -> None:
        try:
            await self._transcriber.forget(recording)
        except HostError as error:  # its job ends by itself, by the recogniser's own rule
            journal.error("a job was not forgotten", error, level=logging.WARNING)
        await call(self._disk, self._uploads.drop, recording.id)
        await call(self._disk, self._library.delete, recording.id, who=WHO, why="")
        self._events.removed(recording.id)
