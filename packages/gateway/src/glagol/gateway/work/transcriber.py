"""Bring every recording that has arrived to its text: one loop over what the library says is open.

The library's rows are the only state. Whatever is killed at any moment, the next turn goes on: a job
is put under an idempotency key that the recording decides, and a result is stored once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from glagol.core import journal
from glagol.core.errors import GlagolError, HostError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glagol.gateway.library.library import Library, Recording
    from glagol.gateway.work.asr import Asr, JobState
    from glagol.gateway.work.events import Events

__all__ = ["Transcriber"]

_TURN_S: Final = 0.5
_AWAY_S: Final = 3.0
_OPEN: Final = ("running", "queued")


class Transcriber:
    """The loop.

    Args:
        library: What is open, and where texts go.
        asr: Speech recognition.
        events: Who wants to know.
        folders: Ids of all folders, as they are now.
    """

    def __init__(
        self, library: Library, asr: Asr, events: Events, folders: Callable[[], Sequence[int]]
    ) -> None:
        self._library = library
        self._asr = asr
        self._events = events
        self._folders = folders
        self._seen: dict[str, JobState] = {}

    def progress(self, recording: str) -> JobState | None:
        """The job of a recording as it was last seen."""
        return self._seen.get(recording)

    async def run(self) -> None:
        """Work until the task is cancelled."""
        while True:
            try:
                await self.turn()
                pause_s = _TURN_S
            except HostError as error:
                journal.error("recordings wait", error, level=logging.WARNING)
                pause_s = _AWAY_S
            except Exception:  # noqa: BLE001 - the loop outlives bugs; the log has the traceback
                journal.write("unexpected exception", level=logging.ERROR, error=True)
                pause_s = _AWAY_S
            await asyncio.sleep(pause_s)

    async def turn(self) -> None:
        """Look at each recording that is open, once.

        Raises:
            HostError: `upstream_unreachable`; the library's disk.
        """
        for state in _OPEN:
            for recording in self._library.page(self._folders(), state=state, limit=1000):
                await self._step(recording)

    async def _step(self, recording: Recording) -> None:
        try:
            if not recording.job:
                await self._submit(recording)
                return
            job = await self._asr.job(recording.job)
            await self._follow(recording, job)
        except InputError as error:  # the server's verdict about this recording alone
            self._library.failed(recording.id, error.code)
            self._tell(recording.id)

    async def _submit(self, recording: Recording) -> None:
        once = f"recording-{recording.id}-{recording.number}-{recording.runs}"
        audio = self._library.files.path(recording.id, "original")
        options = {"model": recording.model} if recording.model else {}
        job = await self._asr.submit(audio, options, once)
        self._library.queued(recording.id, job.id)
        self._seen[recording.id] = job
        self._tell(recording.id)

    async def _follow(self, recording: Recording, job: JobState) -> None:
        before = self._seen.get(recording.id)
        self._seen[recording.id] = job
        match job.state:
            case "done":
                result = await self._asr.result(job.id)
                self._library.transcribed(recording.id, result, job=job.id)
                await self._asr.forget(job.id)  # the library has the text; no second copy stays
            case "failed" | "cancelled":
                code = job.error.code if job.error else "cancelled"
                self._library.failed(recording.id, code)
            case "lost":
                self._library.again(recording.id)
            case "running" if recording.state != "running":
                self._library.running(recording.id)
            case _ if job == before:
                return
        if job.state in {"done", "failed", "cancelled", "lost"}:
            self._seen.pop(recording.id, None)
        self._tell(recording.id)

    def _tell(self, recording: str) -> None:
        try:
            self._events.recording(recording)
        except GlagolError as error:
            journal.error("no event", error, level=logging.WARNING)
