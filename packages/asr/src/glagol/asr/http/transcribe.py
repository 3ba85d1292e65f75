"""Our own routes: liveness, readiness, metrics, and transcription with provenance."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import msgspec
from litestar import MediaType, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.asr.http import rendering, schemas, steps
from glagol.asr.http.openapi import FormOperation, RawOperation
from glagol.asr.http.request import AsrRequest, service_of
from glagol.asr.jobs import schemas as job_schemas
from glagol.asr.jobs import submit
from glagol.core.errors import HostError
from glagol.speech.output import notices
from glagol.speech.output.formats import FORMATS
from glagol.web import envelope, errors

if TYPE_CHECKING:
    from glagol.asr.http.options import RequestOptions

__all__ = ["HANDLERS"]

_RESPONSES: Final = {
    200: ResponseSpec(schemas.Envelope, description="The transcript", generate_examples=False),
    202: ResponseSpec(
        job_schemas.JobEnvelope,
        description="With async=true or webhook_url: the job, and where it is",
        generate_examples=False,
    ),
    **errors.responses(
        {
            400: "The request or an option is wrong",
            404: "There is no such model",
            409: "The idempotency key came with another request",
            413: "The file or the audio is over the limit",
            415: "The bytes are not audio",
            422: "The audio cannot be transcribed",
            429: "The queue is full; see Retry-After",
            503: "No model, or the server is stopping",
        }
    ),
}


_STATE: Final = {
    200: ResponseSpec(dict[str, object], description="In the envelope", generate_examples=False)
}


@get("/health", summary="The process answers", responses=_STATE, sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about the model."""
    return _json(envelope.success(b'{"status":"alive"}'))


@get(
    "/ready",
    summary="The model is verified, loaded and proven",
    responses={
        **_STATE,
        **errors.responses({503: "Why not"}),
    },
    sync_to_thread=False,
)
def ready(request: AsrRequest) -> Response[bytes]:
    """Readiness: 503 with the reason until the known-answer clip was transcribed.

    Raises:
        HostError: `not_ready`, `provider_missing`.
        IntegrityError: `artifact_missing`, `artifact_altered`, `artifact_unpinned`.
    """
    engine = service_of(request).engine
    trouble = engine.trouble
    if trouble is None:
        return _json(envelope.success(msgspec.json.encode(engine.report())))
    if isinstance(trouble, HostError) or trouble.code.startswith("artifact_"):
        raise trouble
    raise HostError("not_ready", trouble.message, trouble.remedy)


@get(
    "/metrics",
    summary="Prometheus metrics",
    responses={
        200: ResponseSpec(
            str, description="As Accept asks", media_type=MediaType.TEXT, generate_examples=False
        )
    },
    sync_to_thread=False,
)
def metrics(request: AsrRequest) -> Response[bytes]:
    """Text format or OpenMetrics, as the Accept header asks."""
    accept = request.headers.get("accept", "")
    body, media_type = service_of(request).metrics.exposition(accept)
    return Response(body, media_type=media_type)


@post(
    "/v1/transcribe",
    status_code=200,
    summary="Transcribe the form field 'file'",
    operation_class=FormOperation,
    responses=_RESPONSES,
)
async def transcribe_form(request: AsrRequest) -> Response[bytes]:
    """Multipart: the audio as `file`; options as fields or in the query."""
    return await _transcribe(request, form=True)


@put(
    "/v1/transcribe",
    status_code=200,
    summary="Transcribe the raw body",
    operation_class=RawOperation,
    responses=_RESPONSES,
)
async def transcribe_raw(request: AsrRequest) -> Response[bytes]:
    """The body is the audio file; options in the query."""
    return await _transcribe(request, form=False)


async def _transcribe(request: AsrRequest, *, form: bool) -> Response[bytes]:
    """Every step of the way; a request that wants a job takes the way of `submit`."""
    asked = steps.parse(request, form=form)
    if asked.chosen.deferred:
        return await submit.job(request, asked)
    steps.admit(request, asked.chosen.model.id)
    received = await steps.receive(request, asked)
    if received.chosen.deferred:  # the form wants it
        return await submit.accept(request, received)
    job = await steps.enqueue(request, received.body, _order(received.chosen))
    transcript, answer = await steps.wait(request, job)
    kind = FORMATS[received.chosen.format].media_type
    return Response(answer, media_type=kind, headers=notices.header(transcript.warnings))


def _order(chosen: RequestOptions) -> steps.Order:
    render = functools.partial(rendering.render, chosen.format)
    return steps.Order(
        chosen.model.id,
        chosen.language,
        render,
        word_timestamps=chosen.word_timestamps,
        channel=chosen.channel,
        track=chosen.track,
        strict=chosen.strict,
        speakers=chosen.speakers,
        engine=chosen.engine,
    )


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type=MediaType.JSON)


HANDLERS: Final = [health, ready, metrics, transcribe_form, transcribe_raw]
