"""A job as server-sent events: what changed, with ids to resume from, until it ends.

The id of an event is the job's version, so a reader that reconnects with Last-Event-ID gets only
the events that it missed. One that has the last event gets 204: browsers then do not reconnect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.response import Response

from glagol.asr.http.request import note_of, on_queue, service_of, sharer_of
from glagol.asr.jobs import schemas
from glagol.core.errors import GlagolError, HostError
from glagol.jobs.queue import ENDED, Job
from glagol.web import errors, sse
from glagol.web.access.auth import recheck

if TYPE_CHECKING:
    from glagol.asr.http.request import AsrRequest
    from glagol.asr.jobs.service import Jobs

__all__ = ["KEEP_ALIVE_S", "respond"]

KEEP_ALIVE_S: Final = 15.0
LOOK_S: Final = 0.5
_RETRY_MS: Final = 2000


async def respond(request: AsrRequest, jobs: Jobs, job: Job) -> Response[Any]:
    """The stream of `job` for this request.

    Raises:
        LimitError: `share_used`, `busy`, too many streams are open.
    """
    known = _last_event_id(request)
    if job.state in ENDED and job.version <= known:
        return Response(b"", status_code=204)
    steps = _steps(request, jobs, job, known)
    # the first step takes the place, while the request can still be refused: the generator has
    # begun then, so its end gives the place back, however it ends
    return sse.respond(_from(await anext(steps), steps))


async def _from(first: bytes, steps: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(steps):
        yield first
        async for step in steps:
            yield step


async def _steps(
    request: AsrRequest, jobs: Jobs, job: Job, known: int
) -> AsyncGenerator[bytes, None]:
    with service_of(request).readers.held(sharer_of(request)):
        yield sse.retry(_RETRY_MS)
        try:
            async for step in _changes(request, jobs, job, known):
                yield step
        except GlagolError as error:  # the status is sent already
            fault = errors.record(error, request.scope["path"], note_of(request))
            data = {"code": fault.code, "message": fault.message, "remedy": fault.remedy}
            yield sse.event(msgspec.json.encode(data), name="error")


async def _changes(request: AsrRequest, jobs: Jobs, job: Job, known: int) -> AsyncIterator[bytes]:
    """An event for each change of `job` after the version `known`, and keep-alive comments."""
    before: Job | None = None
    sent_s = time.monotonic()
    while True:
        if job.version > known:
            known = job.version
            ahead = await _ahead(request, jobs, job)
            lacks = await schemas.lacks_of(request, jobs, job)
            view = schemas.view(job, jobs.throughput, ahead, request.scope["path"], lacks)
            yield _event(view, job, before)
            before, sent_s = job, time.monotonic()
        if job.state in ENDED or jobs.closing.is_set():
            return
        if time.monotonic() - sent_s >= KEEP_ALIVE_S:
            sent_s = time.monotonic()
            yield sse.comment("the job runs")
        await asyncio.sleep(LOOK_S)
        recheck(request.scope)
        job = await _looked(request, jobs, job)


async def _looked(request: AsrRequest, jobs: Jobs, job: Job) -> Job:
    """The job now; as it was while the queue does not answer."""
    try:
        return await on_queue(request, jobs.get, job.id, job.owner)
    except HostError:
        return job


async def _ahead(request: AsrRequest, jobs: Jobs, job: Job) -> int | None:
    try:
        return await on_queue(request, jobs.queue.ahead, job) if job.state == "queued" else None
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
