"""The steps of a transcription request, in the order that every route uses.

`parse` the head, `admit`, `receive` the body, `enqueue` the job, `wait` for the rendered response.
Each step takes the result of the previous one. Cheap checks come first: the head and the room in
the queue before the body, the options before the audio.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from glagol.asr.http import multipart, options
from glagol.asr.http.engine_options import USUAL, EngineOptions
from glagol.asr.http.request import (
    audited,
    disconnected,
    note_of,
    on_uploads,
    options_for,
    owner_of,
    report,
    service_of,
    sharer_of,
    timeline_of,
    uploads_of,
)
from glagol.asr.http.spool import ANYWHERE, Place
from glagol.asr.inference.tasks import Job
from glagol.core import journal
from glagol.core.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from glagol.asr.http.multipart import Upload
    from glagol.asr.http.options import RequestOptions
    from glagol.asr.http.request import AsrRequest, Service
    from glagol.asr.http.schemas import Channel
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Options, Segment, Transcript

__all__ = [
    "Asked",
    "Order",
    "Received",
    "admit",
    "check_announced",
    "enqueue",
    "held",
    "opened",
    "parse",
    "receive",
    "spooled",
    "wait",
]

T = TypeVar("T")


class Closable(Protocol):
    """Anything with `close`, such as a file."""

    def close(self) -> None:
        """Release it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The parsed head of a request, before its body is read.

    Attributes:
        query: Values of the query parameters, by name.
        chosen: The options of the query; a form may add to them.
        form: Whether the body is a form; else it is the audio.
        bare: Whether the query names a finished upload; then the body is empty and is not read.
    """

    query: Mapping[str, list[str]]
    chosen: RequestOptions
    form: bool
    bare: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A completely received request.

    Attributes:
        body: The audio; its holder closes the file.
        chosen: The options of query and form together.
    """

    body: Upload
    chosen: RequestOptions


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with a received body.

    Attributes:
        model: Manifest id.
        language: BCP 47 tag.
        render: Turns the transcript into the response's bytes; called in the inference thread.
        word_timestamps: Whether segments carry words.
        channel: Whether channels are mixed or each is transcribed alone.
        track: Which audio track, from 0; None lets the container's flags decide.
        strict: Whether a recording with missing audio is refused.
        speakers: How many people may speak; None means no diarization.
        on_segment: Called in the inference thread with each final segment; must not wait.
        engine: Options of the engine; the model was checked to support them.
    """

    model: str
    language: str
    render: Callable[[Transcript], bytes]
    word_timestamps: bool = True
    channel: Channel = "mix"
    track: int | None = None
    strict: bool = False
    speakers: Bounds | None = None
    on_segment: Callable[[Segment], None] | None = None
    engine: EngineOptions = USUAL


def parse(request: AsrRequest, *, form: bool) -> Asked:
    """Read the options of the query, and refuse a body with too large a Content-Length.

    Raises:
        OptionError: `option_invalid`.
        InputError: `model_unknown`.
        LimitError: `upload_too_large`.
    """
    query = {name: request.query_params.getall(name) for name in request.query_params}
    chosen = _chosen(request, query, {})
    check_announced(request, form=form)
    kind = request.headers.get("content-type", "")
    return Asked(query, chosen, form, bool(chosen.upload) and not kind.startswith("multipart/"))


def check_announced(request: AsrRequest, *, form: bool) -> None:
    """Refuse a body by its Content-Length.

    Raises:
        LimitError: `upload_too_large`.
    """
    limit_bytes = service_of(request).settings.max_upload_bytes
    multipart.refuse_announced(request.headers, limit_bytes, form=form)


def admit(request: AsrRequest, model: str) -> None:
    """Check that a request for `model` would be accepted now.

    Raises:
        LimitError: `queue_full`.
        HostError: `not_ready`.
    """
    service_of(request).engine.admit(model)


async def receive(request: AsrRequest, asked: Asked, place: Place = ANYWHERE) -> Received:
    """Receive the body into `place`, or take the named resumable upload; complete the options.

    Raises:
        OptionError: `option_invalid`, in the form; or both a file and an upload are given.
        InputError: The body is wrong; `upload_unknown`, `upload_state`.
        LimitError: `share_used`, `busy`, `body_too_slow`, `upload_too_large`, `spool_full`.
        HostError: `cancelled`, `disk_full`, `host_io`, `not_ready`.
    """
    if asked.bare:
        return Received(await _resumed(request, asked.chosen.upload), asked.chosen)
    body = await spooled(request, form=asked.form, place=place)
    with held(body.file):
        chosen = _chosen(request, asked.query, body.fields)
        if chosen.upload and body.size_bytes:
            raise options.OptionError(
                "upload", "both a file and an upload are given", "send one of them"
            )
    if not chosen.upload:
        return Received(body, chosen)
    body.file.close()
    return Received(await _resumed(request, chosen.upload), chosen)


async def spooled(request: AsrRequest, *, form: bool, place: Place = ANYWHERE) -> Upload:
    """Receive the body into `place`, and log its digest, size and time.

    Raises:
        LimitError: `share_used`, `busy`, too many bodies at a time; `body_too_slow`;
            `upload_too_large`, `spool_full`.
        InputError: `request_invalid`, `audio_empty`.
        HostError: `cancelled`, `disk_full`, `host_io`.
    """
    service = service_of(request)
    began = service.clock()
    with service.bodies.held(sharer_of(request)), timeline_of(request).phase("receive"):
        body = await _read(request, place, form=form)
    note_of(request).update(
        receive_s=round(service.clock() - began, 3),
        audio_sha256=body.sha256,
        size_bytes=body.size_bytes,
    )
    return body


async def opened(request: AsrRequest, body: Upload, options: Options) -> AudioSource:
    """Open the audio in a child process, to refuse a wrong or too long file before the queue.

    Returns:
        The opened audio; its holder closes it.

    Raises:
        InputError: The file is not audio that can be transcribed.
        LimitError: `audio_too_long`.
        HostError: `cancelled`, the client disconnected; `decoder_lost`.
    """
    left = Event()
    opening = service_of(request).jail.opening(
        body.file,
        max_seconds=options.max_audio_s,
        split=options.channel == "split",
        track=options.track,
        cancelled=left.is_set,
        owner=sharer_of(request),
    )
    try:
        return await _while_there(request, opening)
    except BaseException:
        left.set()
        opening.add_done_callback(_close_unused)  # a child may be open already
        raise


async def enqueue(request: AsrRequest, body: Upload, order: Order) -> Job:
    """Open the audio and put the job into the queue; the job then owns the file.

    If a worker is free, it opens the audio itself; else a wrong file is refused before the queue.

    Raises:
        InputError: The file is not audio that can be transcribed.
        LimitError: `queue_full`, `audio_too_long`.
        HostError: `not_ready`, `cancelled`, `decoder_lost`.
    """
    service, note = service_of(request), note_of(request)
    asked = options_for(
        service,
        order.language,
        word_timestamps=order.word_timestamps,
        channel=order.channel,
        track=order.track,
        strict=order.strict,
        speakers=order.speakers,
    )
    options = order.engine.added(asked)
    with held(body.file):
        source = _begun(service, body, options) or await opened(request, body, options)
        with held(source):
            job = Job(
                file=body.file,
                source=source,
                audio_sha256=body.sha256,
                model=order.model,
                options=options,
                render=order.render,
                on_segment=order.on_segment,
                timeline=timeline_of(request),
            )
            note["model"] = job.model
            service.engine.put(job)
        journal.write("queued", level=logging.DEBUG, request_id=note["request_id"])
    return job


async def wait(request: AsrRequest, job: Job) -> tuple[Transcript, bytes]:
    """Wait for the job's transcript and response; cancel the job when the client disconnects.

    Raises:
        HostError: `cancelled`.
        GlagolError: The error of the job.
    """
    try:
        transcript, answer = await _while_there(request, job.done)
    finally:
        if not job.done.done() or job.done.cancelled():
            job.cancel()
    report(request, job, transcript)
    await audited(service_of(request), note_of(request), transcript)
    return transcript, answer


def _begun(service: Service, body: Upload, options: Options) -> AudioSource | None:
    """Begin to open the audio without waiting for it, if a worker is free; else None."""
    if not service.engine.free:
        return None
    return service.jail.begun(
        body.file,
        max_seconds=options.max_audio_s,
        split=options.channel == "split",
        track=options.track,
    )


async def _while_there(request: AsrRequest, work: Future[T]) -> T:
    """The value of `work`; cancel it if the client disconnects first.

    Raises:
        HostError: `cancelled`.
        GlagolError: The error of the work.
    """
    result = asyncio.wrap_future(work)
    gone = asyncio.create_task(disconnected(request.receive))
    either: set[asyncio.Future[Any]] = {result, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise HostError(
                "cancelled", "the client disconnected before the response", "send it again"
            )
        return result.result()
    finally:
        gone.cancel()
        if not result.done():
            result.cancel()


def _close_unused(opening: Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


@contextmanager
def held(file: Closable) -> Iterator[None]:
    """Close `file` if the block fails; else the next step owns it."""
    try:
        yield
    except BaseException:
        file.close()
        raise


def _chosen(
    request: AsrRequest, query: Mapping[str, list[str]], fields: Mapping[str, list[str]]
) -> RequestOptions:
    service = service_of(request)
    return options.read(options.merge(query, fields), service.registry, service.default)


async def _resumed(request: AsrRequest, upload_id: str) -> Upload:
    """The finished resumable upload that replaces the request's body."""
    body = await on_uploads(request, uploads_of(request).finished, upload_id, owner_of(request))
    note_of(request).update(audio_sha256=body.sha256, size_bytes=body.size_bytes)
    return body


async def _read(request: AsrRequest, place: Place, *, form: bool) -> Upload:
    service = service_of(request)
    limit_bytes, disk = service.settings.max_upload_bytes, service.executors.disk
    if not form:
        return await multipart.read_raw(request.receive, place, limit_bytes=limit_bytes, disk=disk)
    return await multipart.read_multipart(
        request.receive,
        place,
        content_type=request.headers.get("content-type", ""),
        limit_bytes=limit_bytes,
        disk=disk,
        bare=multipart.UPLOAD in request.query_params,
    )
