"""The routes: admission, reading the body, waiting for the engine, the answer."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import msgspec
from litestar import Request, get, post, put
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from glagol.asr import journal, options, upload, wire
from glagol.asr.openapi import FormOperation, RawOperation
from glagol.asr.queue import Job
from glagol.registry.errors import HostError, LimitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from glagol.asr.engine import Engine
    from glagol.asr.settings import Settings
    from glagol.asr.upload import Receive, Upload
    from glagol.registry.registry import Registry
    from glagol.speech.types import Transcript

__all__ = ["HANDLERS", "Service"]

UPLOADS_MAX: Final = 64
_RESPONSES: Final = {
    200: ResponseSpec(wire.Envelope, description="The transcript", generate_examples=False),
    **{
        status: ResponseSpec(wire.Failure, description=text, generate_examples=False)
        for status, text in {
            400: "The request or an option is wrong",
            404: "There is no such model",
            413: "The file or the audio is over the limit",
            415: "The bytes are not audio",
            422: "The audio cannot be transcribed",
            429: "The queue is full; see Retry-After",
            503: "No model, or the server is stopping",
        }.items()
    },
}

AsrRequest = Request[Any, Any, State]


@dataclass(slots=True)
class Service:
    """What the handlers share.

    Attributes:
        settings: The operator's.
        registry: The manifest.
        engine: The inference thread.
        default: Id of the model that serves when none is asked for.
        clock: Monotonic seconds.
        uploads: Bodies being received now.
    """

    settings: Settings
    registry: Registry
    engine: Engine
    default: str
    clock: Callable[[], float]
    uploads: int = 0


@get("/health", summary="The process answers", sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about the model."""
    return _json(wire.success(b'{"status":"alive"}'))


@get("/ready", summary="The model is verified, loaded and proven", sync_to_thread=False)
def ready(request: AsrRequest) -> Response[bytes]:
    """Readiness: 503 with the reason until the known-answer clip was transcribed.

    Raises:
        HostError: `not_ready`, `provider_missing`.
        IntegrityError: `artifact_missing`, `artifact_altered`, `artifact_unpinned`.
    """
    engine = _service(request).engine
    trouble = engine.trouble
    if trouble is None:
        return _json(wire.success(msgspec.json.encode(engine.report())))
    if isinstance(trouble, HostError) or trouble.code.startswith("artifact_"):
        raise trouble
    raise HostError("not_ready", trouble.message, trouble.remedy)


@get("/v1/models", summary="The models of the manifest", sync_to_thread=False)
def models(request: AsrRequest) -> Response[wire.ModelList]:
    """OpenAI's list shape, with digests and what a user must know about each model."""
    service = _service(request)
    entries = [
        wire.ModelEntry(
            id=model.id,
            version=model.version,
            engine=model.engine,
            license=model.license,
            languages=model.languages,
            aliases=model.aliases,
            default=model.id == service.default,
            digests={
                variant.id: {a.path: a.sha256 for a in variant.artifacts}
                for variant in model.variants
            },
            note=model.note or model.unpinned,
        )
        for model in service.registry.manifest.models
    ]
    return Response(
        wire.ModelList(
            data=entries,
            manifest_version=service.registry.manifest.manifest_version,
            manifest_sha256=service.registry.manifest_sha256,
        )
    )


@post(
    "/v1/transcribe",
    status_code=200,
    summary="Transcribe the form field 'file'",
    operation_class=FormOperation,
    responses=_RESPONSES,
)
async def transcribe_form(request: AsrRequest) -> Response[bytes]:
    """Multipart: the audio as `file`; options as fields or in the query."""
    limit = _service(request).settings.max_upload_bytes
    read = functools.partial(
        upload.read_multipart,
        content_type=request.headers.get("content-type", ""),
        limit_bytes=limit,
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
    limit = _service(request).settings.max_upload_bytes
    read = functools.partial(upload.read_raw, limit_bytes=limit)
    return await _transcribe(request, read, form=False)


async def _transcribe(
    request: AsrRequest, read: Callable[[Receive], Awaitable[Upload]], *, form: bool
) -> Response[bytes]:
    service, note = _service(request), _note(request)
    query: dict[str, list[str]] = {
        name: request.query_params.getall(name) for name in request.query_params
    }
    early = options.read(options.merge(query, {}), service.registry, service.default)
    upload.refuse_announced(request.headers, service.settings.max_upload_bytes, form=form)
    service.engine.admit(early.model.id)
    began = service.clock()
    body = await _received(service, request.receive, read)
    note["receive_s"] = round(service.clock() - began, 3)
    note["audio_sha256"], note["size_bytes"] = body.sha256, body.size_bytes
    try:
        wish = options.read(options.merge(query, body.fields), service.registry, service.default)
        note["model"] = wish.model.id
        await asyncio.to_thread(_inspect, body.file, service.settings.max_audio_s)
        job = _job(service, body, wish)
        service.engine.queue.put(job)
        journal.write("queued", level=logging.DEBUG, request_id=note["request_id"])
    except BaseException:
        body.file.close()
        raise
    transcript, answer = await _finished(request.receive, job)
    note["work_s"] = round(job.work_s, 3)
    note["audio_s"] = transcript.duration_s
    note["provenance"] = transcript.provenance
    return Response(answer, media_type=wire.MEDIA_TYPES[wish.format])


async def _received(
    service: Service, receive: Receive, read: Callable[[Receive], Awaitable[Upload]]
) -> Upload:
    if service.uploads >= UPLOADS_MAX:
        raise LimitError("busy", f"{UPLOADS_MAX} uploads are under way already", "try again later")
    service.uploads += 1
    try:
        return await read(receive)
    finally:
        service.uploads -= 1


def _inspect(file: BinaryIO, max_audio_s: float) -> None:
    """Open the container: what is no audio, or says that it is too long, needs no queue."""
    from glagol.speech.audio import decode

    decode(file, max_seconds=max_audio_s).close()
    file.seek(0)


def _job(service: Service, body: Upload, wish: options.Wish) -> Job:
    from glagol.speech.types import Options

    return Job(
        file=body.file,
        audio_sha256=body.sha256,
        model=wish.model.id,
        options=Options(
            language=wish.language,
            word_timestamps=wish.word_timestamps,
            short_audio_s=service.settings.short_audio_s,
            max_audio_s=service.settings.max_audio_s,
        ),
        render=functools.partial(_render, wish.format),
    )


def _render(form: wire.Format, transcript: Transcript) -> bytes:
    from glagol.speech import formats

    match form:
        case "json":
            return wire.success(formats.as_json(transcript))
        case "text":
            return f"{formats.as_text(transcript)}\n".encode()
        case "srt":
            return formats.as_srt(transcript).encode()
        case "vtt":
            return formats.as_vtt(transcript).encode()


async def _finished(receive: Receive, job: Job) -> tuple[Transcript, bytes]:
    """The job's result, unless the client leaves first; then the job is cancelled."""
    result = asyncio.wrap_future(job.done)
    gone = asyncio.create_task(_disconnected(receive))
    either: set[asyncio.Future[Any]] = {result, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise HostError("cancelled", "the client left before the answer", "send it again")
        return result.result()
    finally:
        gone.cancel()
        if not result.done():
            job.cancel()
            result.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type=wire.MEDIA_TYPES["json"])


def _service(request: AsrRequest) -> Service:
    return cast("Service", request.app.state.service)


def _note(request: AsrRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", request.scope["state"]["note"])


HANDLERS: Final = [health, ready, models, transcribe_form, transcribe_raw]
