"""Bring every recording that has arrived to its text: one loop over what the library says is open.

The library's rows are the only state. After a kill at any moment the next turn continues: a
job is put under an idempotency key that the recording decides, and a result is stored once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.core import journal
from glagol.core.errors import HostError, InputError, LimitError
from glagol.core.executors import call
from glagol.gateway.library import folders
from glagol.gateway.work.asr import REFUSED

if TYPE_CHECKING:
    from concurrent.futures import Executor

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
        events: Receives the changes.
        disk: Threads that wait for the library.
    """

    def __init__(self, library: Library, asr: Asr, events: Events, disk: Executor) -> None:
        self._library = library
        self._asr = asr
        self._events = events
        self._disk = disk
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
        for recording in await call(self._disk, self._open):
            await self._step(recording)

    async def cancel(self, recording: Recording) -> Recording:
        """Stop the transcription of a recording.

        Raises:
            HostError: `upstream_unreachable`.
        """
        if recording.job:
            await self._asr.forget(recording.job)
        ended = await call(self._disk, self._library.failed, recording.id, "cancelled")
        self._seen.pop(recording.id, None)
        self._tell(recording.id)
        return ended

    async def forget(self, recording: Recording) -> None:
        """Leave nothing of a recording at the recogniser; it is being deleted.

        Raises:
            HostError: `upstream_unreachable`.
        """
        if recording.job:
            await self._asr.forget(recording.job)
        self._seen.pop(recording.id, None)

    def _open(self) -> list[Recording]:
        all_ = folders.every(self._library.db)
        return [
            recording
            for state in _OPEN
            for recording in self._library.page(all_, state=state, limit=1000)
        ]

    async def _step(self, recording: Recording) -> None:
        try:
            if not recording.job:
                await self._submit(recording)
                return
            job = await self._asr.job(recording.job)
            await self._follow(recording, job)
        except (InputError, LimitError, HostError) as error:
            if isinstance(error, HostError) and error.code not in REFUSED:
                raise
            # the server's verdict is about this recording alone
            if error.code == "recording_unknown":
                return  # it was deleted meanwhile
            await call(self._disk, self._library.failed, recording.id, error.code)
            self._tell(recording.id)

    async def _submit(self, recording: Recording) -> None:
        once = f"recording-{recording.id}-{recording.number}-{recording.runs}"
        audio = self._library.files.path(recording.id, "original")
        options = msgspec.json.decode(recording.options, type=dict[str, str])
        job = await self._asr.submit(audio, options, once)
        await call(self._disk, self._library.queued, recording.id, job.id)
        self._seen[recording.id] = job
        self._tell(recording.id)

    async def _follow(self, recording: Recording, job: JobState) -> None:
        before = self._seen.get(recording.id)
        self._seen[recording.id] = job
        disk, library, identity = self._disk, self._library, recording.id
        match job.state:
            case "done":
                result = await self._asr.result(job.id)
                await call(disk, library.transcribed, identity, result, job=job.id)
                await self._asr.forget(job.id)  # the library has the text; no second copy stays
            case "failed" | "cancelled":
                code = job.error.code if job.error else "cancelled"
                await call(disk, library.failed, identity, code)
                await self._asr.forget(job.id)
            case "lost":
                await call(disk, library.again, identity)
            case "running" if recording.state != "running":
                await call(disk, library.running, identity)
            case _ if job == before:
                return
        if job.state in {"done", "failed", "cancelled", "lost"}:
            self._seen.pop(identity, None)
        self._tell(identity)

    def _tell(self, recording: str) -> None:
        self._events.recording(recording)
