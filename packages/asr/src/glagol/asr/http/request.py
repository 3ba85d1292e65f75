"""The way of a request from its first byte to the job, the same for every transcription route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from litestar import Request
from litestar.datastructures import State

from glagol.asr.http.multipart import Receive, Upload
from glagol.asr.http.spool import ANYWHERE, Place
from glagol.asr.live.limits import Streams
from glagol.core import journal
from glagol.core.errors import HostError, LimitError
from glagol.web.access.auth import caller_of

if TYPE_CHECKING:
    from glagol.asr.http.schemas import Channel
    from glagol.asr.inference.pool import Engine
    from glagol.asr.inference.scheduler import Job
    from glagol.asr.jobs.service import Jobs
    from glagol.asr.observability.metrics import Metrics
    from glagol.asr.settings import Settings
    from glagol.asr.tus.store import Uploads
    from glagol.registry.registry import Registry
    from glagol.speech.types import Options, Transcript

__all__ = [
    "AsrRequest",
    "Read",
    "Service",
    "audited",
    "checked",
    "disconnected",
    "enqueue",
    "finished",
    "jobs_of",
    "note_of",
    "options_for",
    "owner_of",
    "received",
    "report",
    "screened",
    "sees",
    "service_of",
]

UPLOADS_MAX: Final = 64

AsrRequest = Request[Any, Any, State]
Read: TypeAlias = Callable[[Receive, Place], Awaitable[Upload]]
"""Reads a body into a place."""


@dataclass(slots=True)
class Service:
    """What the handlers share.

    Attributes:
        settings: The operator's.
        registry: The manifest.
        engine: The inference thread.
        metrics: What operators watch.
        default: Id of the model that serves when none is asked for.
        clock: Monotonic seconds.
        uploads: Bodies being received now.
        jobs: The durable queue; None when there is none.
        jobs_off: Why there is none.
        readers: Streams of events that are open now.
        streams: Live streams that are open now.
        resumable: Where uploads that can be resumed lie; None when there is no such place.
    """

    settings: Settings
    registry: Registry
    engine: Engine
    metrics: Metrics
    default: str
    clock: Callable[[], float]
    uploads: int = 0
    jobs: Jobs | None = None
    jobs_off: HostError | None = None
    readers: int = 0
    streams: Streams = field(default_factory=Streams)
    resumable: Uploads | None = None


def service_of(request: AsrRequest) -> Service:
    """What the handlers share."""
    return cast("Service", request.app.state.service)


def jobs_of(request: AsrRequest) -> Jobs:
    """The durable queue.

    Raises:
        HostError: `queue_unreachable`, this server has none.
    """
    service = service_of(request)
    if service.jobs is None:
        off = service.jobs_off
        reason = (off.message, off.remedy) if off else ("this server keeps no jobs", "ask another")
        raise HostError("queue_unreachable", *reason)
    return service.jobs


def owner_of(request: AsrRequest) -> str:
    """Whose request it is: the name of its key; empty while keys are off."""
    return caller_of(cast("dict[str, Any]", request.scope)).name


def sees(request: AsrRequest) -> str | None:
    """Whose jobs the caller may see: its own; None means everybody's."""
    caller = caller_of(cast("dict[str, Any]", request.scope))
    return None if caller.admin else caller.name


def note_of(request: AsrRequest) -> dict[str, Any]:
    """What the log line and the metrics will know about this request."""
    return cast("dict[str, Any]", request.scope["state"]["note"])


async def received(request: AsrRequest, read: Read, place: Place = ANYWHERE) -> Upload:
    """The body, read by `read` into `place`; the note learns its digest, size and time.

    Raises:
        LimitError: `busy`, too many uploads at a time; or what `read` raises.
    """
    service, note = service_of(request), note_of(request)
    if service.uploads >= UPLOADS_MAX:
        raise LimitError("busy", f"{UPLOADS_MAX} uploads are under way already", "try again later")
    service.uploads += 1
    began = service.clock()
    try:
        body = await read(request.receive, place)
    finally:
        service.uploads -= 1
    note["receive_s"] = round(service.clock() - began, 3)
    note["audio_sha256"], note["size_bytes"] = body.sha256, body.size_bytes
    return body


async def checked(body: Upload, max_audio_s: float, channel: Channel = "mix") -> float | None:
    """Open the container: what is no audio, or says that it is too long, needs no queue.

    Returns:
        Seconds that it says it is long; None when it does not say.

    Raises:
        InputError: The file is not audio that can be transcribed.
        LimitError: `audio_too_long`.
    """
    left = Event()
    try:
        return await asyncio.to_thread(
            _inspect, body.file, max_audio_s, split=channel == "split", cancelled=left.is_set
        )
    finally:
        left.set()  # the thread outlives a request that was cancelled


async def screened(service: Service, body: Upload, channel: Channel = "mix") -> None:
    """`checked`, unless a worker is free: it opens the file at once, and nobody waits for it.

    Raises:
        InputError: The file is not audio that can be transcribed.
        LimitError: `audio_too_long`.
    """
    if not service.engine.free:
        await checked(body, service.settings.max_audio_s, channel)


def options_for(
    service: Service, language: str, *, word_timestamps: bool, channel: Channel = "mix"
) -> Options:
    """The recogniser's options: the caller's and the operator's."""
    from glagol.speech.types import Options

    return Options(
        language=language,
        word_timestamps=word_timestamps,
        short_audio_s=service.settings.short_audio_s,
        max_audio_s=service.settings.max_audio_s,
        channel=channel,
    )


def enqueue(request: AsrRequest, job: Job) -> None:
    """Give `job` its place in the queue.

    Raises:
        LimitError: `queue_full`.
        HostError: `not_ready`.
    """
    note = note_of(request)
    note["model"] = job.model
    service_of(request).engine.put(job)
    journal.write("queued", level=logging.DEBUG, request_id=note["request_id"])


async def finished(request: AsrRequest, job: Job) -> bytes:
    """The job's answer, unless the client leaves first; then the job is cancelled.

    Raises:
        HostError: `cancelled`; or whatever the job failed with.
    """
    result = asyncio.wrap_future(job.done)
    gone = asyncio.create_task(disconnected(request.receive))
    either: set[asyncio.Future[Any]] = {result, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise HostError("cancelled", "the client left before the answer", "send it again")
        transcript, answer = result.result()
        report(request, job, transcript)
        await audited(service_of(request), note_of(request), transcript)
        return answer
    finally:
        gone.cancel()
        if not result.done():
            job.cancel()
            result.cancel()


def report(request: AsrRequest, job: Job, transcript: Transcript) -> None:
    """Tell the note what was done."""
    note_of(request).update(
        wait_s=round(job.wait_s, 3),
        work_s=round(job.work_s, 3),
        audio_s=transcript.duration_s,
        provenance=transcript.provenance,
    )


async def audited(service: Service, note: dict[str, Any], transcript: Transcript) -> None:
    """Write the transcript's line in the audit log, where there is one; then it may be answered."""
    if service.jobs is not None:
        await asyncio.to_thread(
            service.jobs.audit.transcribed,
            transcript,
            request=note["request_id"],
            owner=note.get("key", ""),
        )


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _inspect(
    file: BinaryIO, max_audio_s: float, *, split: bool, cancelled: Callable[[], bool]
) -> float | None:
    from glagol.speech.audio.decode import decode

    source = decode(file, max_seconds=max_audio_s, split=split, cancelled=cancelled)
    source.close()
    file.seek(0)
    return source.declared_s
