"""A job as server-sent events: what changed, with ids to resume from, until it ends.

The id of an event is the job's version, so a reader that comes back with Last-Event-ID hears only
of what it has missed. One that knows the end gets 204, which tells browsers not to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.response import Response

from glagol.asr.http.request import note_of, service_of
from glagol.asr.jobs import schemas
from glagol.core.errors import GlagolError, HostError, LimitError
from glagol.jobs.queue import ENDED, Job
from glagol.web import errors, sse

if TYPE_CHECKING:
    from glagol.asr.http.request import AsrRequest, Service
    from glagol.asr.jobs.service import Jobs

__all__ = ["KEEP_ALIVE_S", "READERS_MAX", "respond"]

KEEP_ALIVE_S: Final = 15.0
LOOK_S: Final = 0.5
READERS_MAX: Final = 256
_RETRY_MS: Final = 2000


def respond(request: AsrRequest, jobs: Jobs, job: Job) -> Response[Any]:
    """The stream of `job` for this request.

    Raises:
        LimitError: `busy`, too many streams are open.
    """
    known = _last_event_id(request)
    if job.state in ENDED and job.version <= known:
        return Response(b"", status_code=204)
    service = service_of(request)
    if service.readers >= READERS_MAX:
        raise LimitError("busy", f"{READERS_MAX} streams of events are open", "poll the job")
    return sse.respond(_steps(request, service, jobs, job, known))


async def _steps(
    request: AsrRequest, service: Service, jobs: Jobs, job: Job, known: int
) -> AsyncIterator[bytes]:
    before: Job | None = None
    heard_s = time.monotonic()
    service.readers += 1
    try:
        yield sse.retry(_RETRY_MS)
        while True:
            if job.version > known:
                known = job.version
                view = schemas.view(
                    job,
                    jobs.pace,
                    await _ahead(jobs, job),
                    request.scope["path"],
                    await schemas.lacks_of(jobs, job),
                )
                yield _event(view, job, before)
                before, heard_s = job, time.monotonic()
            if job.state in ENDED or jobs.closing.is_set():
                return
            if time.monotonic() - heard_s >= KEEP_ALIVE_S:
                heard_s = time.monotonic()
                yield sse.comment("the job goes on")
            await asyncio.sleep(LOOK_S)
            job = await _looked(jobs, job)
    except GlagolError as error:  # the status is sent already
        fault = errors.told(error, request.scope["path"], note_of(request))
        data = {"code": fault.code, "message": fault.message, "remedy": fault.remedy}
        yield sse.event(msgspec.json.encode(data), name="error")
    finally:
        service.readers -= 1


async def _looked(jobs: Jobs, job: Job) -> Job:
    """The job now; as it was while the queue does not answer."""
    try:
        return await asyncio.to_thread(jobs.get, job.id, job.owner)
    except HostError:
        return job


async def _ahead(jobs: Jobs, job: Job) -> int | None:
    try:
        return await asyncio.to_thread(jobs.queue.ahead, job) if job.state == "queued" else None
    except HostError:
        return None


def _event(view: schemas.JobView, job: Job, before: Job | None) -> bytes:
    same = before is not None and (before.state, before.attempt, before.cancelling) == (
        job.state,
        job.attempt,
        job.cancelling,
    )
    name = "progress" if same else "state"
    return sse.event(msgspec.json.encode(view), name=name, event_id=str(job.version))


def _last_event_id(request: AsrRequest) -> int:
    """The version that the reader knows; 0 when it says none that we gave."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
