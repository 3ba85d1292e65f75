"""`POST /v1/summarize`: summarise a text, a transcript or a job of asr-server.

With `stream` the response is server-sent events: `progress`, keep-alive comments while the model
works, and at the end `result` or `error` with the same envelope as without `stream`. When the
client disconnects, all its requests to the model are cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import msgspec
from litestar import Request, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.core.errors import HostError, InputError, LimitError
from glagol.llm.summarize.prompts import LANGUAGES, Language
from glagol.llm.summarize.report import Report
from glagol.llm.summarize.transcripts import from_plain, from_value
from glagol.web import envelope, errors, sse

if TYPE_CHECKING:
    from collections.abc import Collection

    from glagol.llm.summarize.asr_client import Recordings
    from glagol.llm.summarize.merge import Progress, Summarizer
    from glagol.llm.summarize.transcripts import Transcript

__all__ = ["HANDLERS", "SummaryService"]

BODY_BYTES_MAX: Final = 64 << 20
KEEP_ALIVE_S: Final = 15.0

LlmRequest = Request[Any, Any, State]
Work: TypeAlias = Callable[[], Coroutine[Any, Any, Report]]
"""Makes the summary; called when a slot is free."""


@dataclass(slots=True)
class SummaryService:
    """What the handler needs; kept as `app.state.summaries`.

    Attributes:
        summarizer: Returns the summarizer of the served model; raises while there is none.
        models: Accepted names of the model.
        recordings: Fetches the transcripts of jobs from asr-server.
        places: How many summaries may be in flight.
        busy: Summaries in flight.
    """

    summarizer: Callable[[], Summarizer]
    models: Collection[str]
    recordings: Recordings
    places: int = 4
    busy: int = 0


class SummaryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request's body: exactly one of `text`, `transcript` and `job`.

    Attributes:
        text: Plain text; a line is a segment.
        transcript: As asr-server and `glagol transcribe --format json` give it.
        job: Id of a finished job of asr-server.
        language: Of the summary: ru or en. Null takes the transcript's own.
        model: The served model's id or alias. Null takes it.
        stream: Whether to answer with server-sent events; so does `Accept: text/event-stream`.
    """

    text: str | None = None
    transcript: dict[str, Any] | None = None
    job: str | None = None
    language: str | None = None
    model: str | None = None
    stream: bool = False


class Summary(msgspec.Struct, frozen=True):
    """A successful answer."""

    success: Literal[True]
    data: Report
    error: None


_RESPONSES: Final = {
    200: ResponseSpec(Summary, description="The summary", generate_examples=False),
    **errors.responses(
        {
            400: "The request is wrong, or there is no text",
            404: "There is no such model or job",
            502: "The model's answers do not have their form",
            503: "The model does not answer, or too many summaries are under way",
        }
    ),
}


@post(
    "/v1/summarize",
    status_code=200,
    summary="Summarise a text, a transcript or a job",
    responses=_RESPONSES,
    request_max_body_size=BODY_BYTES_MAX,
)
async def summarize(request: LlmRequest) -> Response[Any]:
    """JSON in, JSON or server-sent events out.

    Raises:
        InputError: `request_invalid`, `text_empty`, `model_unknown`, or the job's trouble.
        LimitError: `busy`, `prompt_too_long`.
        HostError: `llm_unavailable`, `llm_output_invalid`, `queue_unreachable`, `cancelled`.
    """
    service = cast("SummaryService", request.app.state.summaries)
    asked = _parsed(await request.body(), service)
    streamed = asked.stream or "text/event-stream" in request.headers.get("accept", "")
    summarizer = service.summarizer()
    if service.busy >= service.places:
        raise LimitError("busy", f"{service.places} summaries are under way", "try again later")
    transcript = await _transcript(request, asked, service)
    seen: asyncio.Queue[Progress] = asyncio.Queue()
    work = partial(
        summarizer.run, transcript, language=_language(asked), on_progress=seen.put_nowait
    )
    if streamed:
        return sse.respond(_events(request, service, work, seen))
    async with _running(service, work) as task:
        report = await _unless_gone(request, task)
    return Response(_envelope_of(request, report), media_type="application/json")


def _parsed(body: bytes, service: SummaryService) -> SummaryRequest:
    remedy = "send JSON with one of text, transcript and job"
    try:
        asked = msgspec.json.decode(body, type=SummaryRequest)
    except msgspec.DecodeError as error:
        raise InputError("request_invalid", f"the body is wrong: {error}", remedy) from error
    if sum(given is not None for given in (asked.text, asked.transcript, asked.job)) != 1:
        raise InputError(
            "request_invalid", "not exactly one of text, transcript and job is given", remedy
        )
    _language(asked)
    if asked.model is not None and asked.model not in service.models:
        known = ", ".join(service.models)
        raise InputError(
            "model_unknown", f"{asked.model[:128]!r} is not served here", f"use {known}"
        )
    return asked


def _language(asked: SummaryRequest) -> Language | None:
    for known in LANGUAGES:
        if asked.language == known:
            return known
    if asked.language is not None:
        raise InputError(
            "option_invalid", "the language is unknown", f"use one of {', '.join(LANGUAGES)}"
        )
    return None


async def _transcript(
    request: LlmRequest, asked: SummaryRequest, service: SummaryService
) -> Transcript:
    if asked.job is not None:
        key = request.headers.get("authorization", "")
        return await service.recordings.transcript(asked.job, key)
    return from_plain(asked.text) if asked.text is not None else from_value(asked.transcript)


@asynccontextmanager
async def _running(service: SummaryService, work: Work) -> AsyncIterator[asyncio.Task[Report]]:
    """Run the summary as a task that is cancelled at the end of the block."""
    service.busy += 1
    task: asyncio.Task[Report] = asyncio.create_task(work())
    try:
        yield task
    finally:
        service.busy -= 1
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def _unless_gone(request: LlmRequest, task: asyncio.Task[Report]) -> Report:
    gone = asyncio.create_task(_disconnected(request))
    either: set[asyncio.Future[Any]] = {task, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HostError(
                "cancelled", "the client disconnected before the response", "send it again"
            )
        return task.result()
    finally:
        gone.cancel()


async def _disconnected(request: LlmRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(
    request: LlmRequest, service: SummaryService, work: Work, seen: asyncio.Queue[Progress]
) -> AsyncIterator[bytes]:
    """Progress events, then the envelope."""
    note = request.scope["state"]["note"]
    async with _running(service, work) as task:
        gone = asyncio.create_task(_disconnected(request))
        try:
            while not (task.done() and seen.empty()):
                news = asyncio.create_task(seen.get())
                waited: set[asyncio.Future[Any]] = {news, task, gone}
                await asyncio.wait(
                    waited, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if news.done():
                    yield sse.event(msgspec.json.encode(asdict(news.result())), name="progress")
                    continue
                news.cancel()
                if gone.done() and not task.done():
                    note["code"] = "cancelled"
                    return
                if not task.done():
                    yield sse.comment("the model is busy")
            yield sse.event(_envelope_of(request, task.result()), name="result")
        except (asyncio.CancelledError, GeneratorExit):  # the framework noticed the disconnect
            note["code"] = "cancelled"
            raise
        except Exception as error:  # noqa: BLE001 - the status is sent already
            fault = errors.record(error, request.scope["path"], note)
            body = envelope.ErrorBody(fault.code, fault.message, fault.remedy, note["request_id"])
            yield sse.event(envelope.failure(body), name="error")
        finally:
            gone.cancel()


def _envelope_of(request: LlmRequest, report: Report) -> bytes:
    """The response's envelope; also adds counts and digests to the request's log line."""
    request.scope["state"]["note"].update(
        coverage=report.coverage, citations=report.citations, provenance=report.provenance
    )
    return envelope.success(msgspec.json.encode(report))


HANDLERS: Final = [summarize]
