"""The routes of jobs: look, list, cancel, replay, result."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath
from litestar.response import Response

from glagol.asr.http import rendering, schemas
from glagol.asr.http.options import one_of
from glagol.asr.http.pagination import only, page_of
from glagol.asr.http.request import AsrRequest, jobs_of, note_of, on_queue, sees
from glagol.asr.jobs import events
from glagol.asr.jobs import schemas as job_schemas
from glagol.asr.jobs.openapi import EventsOperation, JobsOperation, ResultOperation, responses
from glagol.asr.jobs.payload import KIND, Work
from glagol.core.errors import InputError, IntegrityError
from glagol.jobs.queue import ENDED, Job
from glagol.speech.output.formats import FORMATS
from glagol.web import envelope

if TYPE_CHECKING:
    from glagol.asr.jobs.service import Jobs

__all__ = ["HANDLERS", "answer"]


@get("/v1/jobs/{job_id:str}", summary="A job as it is now", responses=responses())
async def job(request: AsrRequest, job_id: FromPath[str]) -> Response[bytes]:
    """State, attempt, progress, jobs ahead, estimate, error, links."""
    only(request, ())
    jobs, owner = jobs_of(request), sees(request)
    return await answer(
        request, jobs, await on_queue(request, jobs.get, _known(request, job_id), owner)
    )


@get(
    "/v1/jobs",
    summary="Jobs, newest first; state=failed lists the dead letters",
    operation_class=JobsOperation,
    responses=responses(job_schemas.JobListEnvelope),
)
async def jobs(request: AsrRequest) -> Response[bytes]:
    """A page of the jobs that the caller may see.

    Raises:
        OptionError: `option_invalid`.
        InputError: `job_unknown`, `before` was forgotten.
    """
    page, service = page_of(request), jobs_of(request)
    found = await on_queue(
        request,
        service.queue.page,
        kind=KIND,
        state=page.state,
        owner=sees(request),
        before=page.before,
        limit=page.limit,
    )
    views = []
    for each in found:
        with contextlib.suppress(IntegrityError):  # a newer program's; its own route says so
            views.append(job_schemas.view(each, service.throughput, None, request.scope["path"]))
    return _json(
        envelope.success(msgspec.json.encode(job_schemas.JobList(views, page.next(found))))
    )


@delete(
    "/v1/jobs/{job_id:str}",
    status_code=200,
    summary="Cancel a job, or remove one that has ended",
    responses=responses(),
)
async def cancel(request: AsrRequest, job_id: FromPath[str]) -> Response[bytes]:
    """A waiting job is cancelled at once, a running one (202) after the chunk it is in.

    One that has ended is removed, with its result and its deliveries; the answer says how it was.
    """
    only(request, ())
    jobs, owner = jobs_of(request), sees(request)
    found = await on_queue(request, jobs.end, _known(request, job_id), owner)
    return await answer(request, jobs, found, 200 if found.state in ENDED else 202)


@post(
    "/v1/jobs/{job_id:str}/replay",
    status_code=202,
    summary="Let a failed job wait again",
    responses=responses(status=202),
)
async def replay(request: AsrRequest, job_id: FromPath[str]) -> Response[bytes]:
    """The job gets its first number of attempts again; its attempt number continues."""
    only(request, ())
    jobs, owner = jobs_of(request), sees(request)
    found = await on_queue(request, jobs.replay, _known(request, job_id), owner)
    return await answer(request, jobs, found, 202)


@get(
    "/v1/jobs/{job_id:str}/result",
    summary="The transcript of a job that is done",
    operation_class=ResultOperation,
    responses=responses(schemas.Envelope),
)
async def result(request: AsrRequest, job_id: FromPath[str]) -> Response[bytes]:
    """In any format; json is what the synchronous route would have answered.

    Raises:
        InputError: `job_state`, it is not done; `job_unknown`, `job_expired`.
        OptionError: `option_invalid`.
    """
    given = only(request, ("format",))
    form = given.get("format", "")
    if form:
        one_of(given, "format", tuple(FORMATS))
    jobs, owner = jobs_of(request), sees(request)
    return await on_queue(request, _result, jobs, _known(request, job_id), owner, form)


@get(
    "/v1/jobs/{job_id:str}/events",
    summary="Progress and state as they change, until the job ends",
    operation_class=EventsOperation,
    responses=responses(None),
)
async def job_events(request: AsrRequest, job_id: FromPath[str]) -> Response[Any]:
    """Server-sent events `state` and `progress`; their ids resume with Last-Event-ID."""
    only(request, ())
    jobs, owner = jobs_of(request), sees(request)
    found = await on_queue(request, jobs.get, _known(request, job_id), owner)
    return await events.respond(request, jobs, found)


async def answer(
    request: AsrRequest,
    jobs: Jobs,
    found: Job,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """The envelope around a job."""
    ahead = await on_queue(request, jobs.queue.ahead, found) if found.state == "queued" else None
    lacks = await job_schemas.lacks_of(request, jobs, found)
    view = job_schemas.view(found, jobs.throughput, ahead, request.scope["path"], lacks)
    return _json(envelope.success(msgspec.json.encode(view)), status, headers)


def _result(jobs: Jobs, job_id: str, owner: str | None, form: str) -> Response[bytes]:
    found = jobs.get(job_id, owner)
    if found.state != "done":
        raise InputError(
            "job_state", f"the job {job_id} is {found.state}", "wait until its state is done"
        )
    chosen = form or Work.decoded(found.payload).format
    data = jobs.queue.result(job_id)
    if data is None:
        raise InputError(
            "job_expired",
            f"the result of the job {job_id} has expired",
            "send the audio again, and fetch the result earlier",
        )
    return Response(
        rendering.render_stored(chosen, data),
        media_type=FORMATS[chosen].media_type,
        headers=rendering.header_stored(data),
    )


def _known(request: AsrRequest, job_id: str) -> str:
    """The id, which is logged when it is well-formed: arbitrary input is not logged."""
    if len(job_id) <= 64 and job_id.isascii() and job_id.isalnum():
        note_of(request)["job_id"] = job_id
    return job_id


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json", headers=headers or {})


HANDLERS: Final = [job, jobs, cancel, replay, result, job_events]
