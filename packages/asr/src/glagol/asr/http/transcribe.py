"""Our own routes: liveness, readiness, metrics, and transcription with provenance."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final

import msgspec
from litestar import MediaType, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.asr.http import multipart, options, rendering, schemas
from glagol.asr.http.openapi import FormOperation, RawOperation
from glagol.asr.http.request import (
    AsrRequest,
    Read,
    enqueue,
    finished,
    jobs_of,
    options_for,
    received,
    screened,
    service_of,
)
from glagol.asr.inference.tasks import Job
from glagol.asr.jobs import schemas as job_schemas
from glagol.asr.jobs import submit
from glagol.asr.tus.routes import taken
from glagol.core.errors import HostError
from glagol.web import envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HANDLERS"]

_RESPONSES: Final = {
    200: ResponseSpec(schemas.Envelope, description="The transcript", generate_examples=False),
    202: ResponseSpec(
        job_schemas.JobEnvelope,
        description="With async=true or webhook_url: the job, and where it is",
        generate_examples=False,
    ),
    **{
        status: ResponseSpec(envelope.Failure, description=text, generate_examples=False)
        for status, text in {
            400: "The request or an option is wrong",
            404: "There is no such model",
            409: "The idempotency key came with another request",
            413: "The file or the audio is over the limit",
            415: "The bytes are not audio",
            422: "The audio cannot be transcribed",
            429: "The queue is full; see Retry-After",
            503: "No model, or the server is stopping",
        }.items()
    },
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
        503: ResponseSpec(envelope.Failure, description="Why not", generate_examples=False),
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
    limit = service_of(request).settings.max_upload_bytes
    read = functools.partial(
        multipart.read_multipart,
        content_type=request.headers.get("content-type", ""),
        limit_bytes=limit,
        bare=multipart.UPLOAD in request.query_params,
    )
    return await _transcribe(request, read, form=True)


@put(
    "/v1/transcribe",
    status_code=200,
    summary="Transcribe the raw body",
    operation_class=RawOperation,
    responses=_RESPONSES,
)
async def transcribe_raw(request: AsrRequest) -> Response[bytes]:
    """The body is the audio file; options in the query."""
    limit = service_of(request).settings.max_upload_bytes
    read = functools.partial(multipart.read_raw, limit_bytes=limit)
    return await _transcribe(request, read, form=False)


async def _transcribe(request: AsrRequest, read: Read, *, form: bool) -> Response[bytes]:
    service = service_of(request)
    query: dict[str, list[str]] = {
        name: request.query_params.getall(name) for name in request.query_params
    }

    def wished(fields: Mapping[str, list[str]]) -> options.Wish:
        return options.read(options.merge(query, fields), service.registry, service.default)

    early = wished({})
    multipart.refuse_announced(request.headers, service.settings.max_upload_bytes, form=form)
    if early.deferred and not early.upload:
        return await submit.receive(request, read, early, wished)
    if early.deferred:
        await asyncio.to_thread(jobs_of(request).admit)
    else:
        service.engine.admit(early.model.id)
    bare = early.upload and not request.headers.get("content-type", "").startswith("multipart/")
    body = await (taken(request, early.upload) if bare else received(request, read))
    try:
        wish = wished(body.fields)
        if wish.upload and not bare:  # the form names it, or has options for it
            body.file.close()
            if body.size_bytes:
                raise options.OptionError("upload", "there is a file, too", "send one of them")
            body = await taken(request, wish.upload)
        if wish.deferred:
            with body.file:
                return await submit.accept(request, body, wish)
        await screened(service, body, wish.channel)
        job = Job(
            file=body.file,
            audio_sha256=body.sha256,
            model=wish.model.id,
            options=options_for(
                service,
                wish.language,
                word_timestamps=wish.word_timestamps,
                channel=wish.channel,
            ),
            render=functools.partial(rendering.render, wish.format),
        )
        enqueue(request, job)
    except BaseException:
        body.file.close()
        raise
    return Response(await finished(request, job), media_type=schemas.MEDIA_TYPES[wish.format])


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type=schemas.MEDIA_TYPES["json"])


HANDLERS: Final = [health, ready, metrics, transcribe_form, transcribe_raw]
