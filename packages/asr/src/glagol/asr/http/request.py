"""What a handler needs of a request: service, caller, note for the log, disconnect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from litestar import Request
from litestar.datastructures import State

from glagol.asr.live.limits import Streams
from glagol.core.errors import HostError
from glagol.core.executors import Executors, call
from glagol.core.shares import Shares
from glagol.web.access import owner
from glagol.web.access.auth import caller_of
from glagol.web.access.body_rate import BodyRate

if TYPE_CHECKING:
    from glagol.asr.http.multipart import Receive
    from glagol.asr.http.schemas import Channel
    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.inference.tasks import Job
    from glagol.asr.jobs.service import Jobs
    from glagol.asr.observability.metrics import Metrics
    from glagol.asr.settings import Settings
    from glagol.asr.tus.store import Uploads
    from glagol.registry.registry import Registry
    from glagol.speech.audio.jail.pool import Jail
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Options, Transcript
    from glagol.web.tracing import Timeline

__all__ = [
    "AsrRequest",
    "Service",
    "audited",
    "disconnected",
    "jobs_of",
    "note_of",
    "on_queue",
    "on_uploads",
    "options_for",
    "owner_of",
    "report",
    "sees",
    "service_of",
    "sharer_of",
    "timeline_of",
    "uploads_of",
]

AsrRequest = Request[Any, Any, State]

P = ParamSpec("P")
T = TypeVar("T")

BODIES_MAX: Final = 64
READERS_MAX: Final = 256


@dataclass(slots=True)
class Service:
    """What the handlers share.

    Attributes:
        settings: The operator's.
        registry: The manifest.
        engine: The inference threads and their queue.
        metrics: What operators watch.
        default: Id of the model that serves when none is asked for.
        clock: Monotonic seconds.
        jail: What opens recordings.
        jobs: The durable queue; None when there is none.
        jobs_off: Why there is none.
        executors: The threads that handlers wait in.
        streams: Live streams that are open now.
        resumable: Where uploads that can be resumed lie; None when there is no such place.
        body_rate: How slowly a body may come.
        bodies: Bodies being received now.
        readers: Streams of events that are open now.
    """

    settings: Settings
    registry: Registry
    engine: InferencePool
    metrics: Metrics
    default: str
    clock: Callable[[], float]
    jail: Jail
    jobs: Jobs | None = None
    jobs_off: HostError | None = None
    executors: Executors = field(default_factory=Executors)
    resumable: Uploads | None = None
    body_rate: BodyRate = field(init=False)
    bodies: Shares = field(init=False)
    readers: Shares = field(init=False)
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        alone = self.settings.owner_share
        self.body_rate = BodyRate(self.settings.min_body_rate)
        self.bodies = Shares(BODIES_MAX, "bodies being received", alone)
        self.readers = Shares(READERS_MAX, "streams of events", alone)
        self.streams = Streams(alone=alone)


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


def uploads_of(request: AsrRequest) -> Uploads:
    """The resumable uploads.

    Raises:
        HostError: `not_ready`, this server keeps none.
    """
    kept = service_of(request).resumable
    if kept is None:
        raise HostError(
            "not_ready", "this server has no place to keep uploads", "set ASR_STATE to a directory"
        )
    return kept


def owner_of(request: AsrRequest) -> str:
    """The owner of a request: the name of its key; empty while keys are off."""
    return caller_of(cast("dict[str, Any]", request.scope)).name


def sharer_of(request: AsrRequest) -> str:
    """The owner whose share of a pool the request uses; see `glagol.web.access.owner.owner_of`."""
    return owner.owner_of(cast("dict[str, Any]", request.scope))


def sees(request: AsrRequest) -> str | None:
    """The owner whose jobs the caller may see; None means all owners."""
    caller = caller_of(cast("dict[str, Any]", request.scope))
    return None if caller.admin else caller.name


def note_of(request: AsrRequest) -> dict[str, Any]:
    """The note of this request, for its log line, metrics and trace."""
    return cast("dict[str, Any]", request.scope["state"]["note"])


def timeline_of(request: AsrRequest) -> Timeline:
    """The timeline of this request's phases."""
    return cast("Timeline", request.scope["state"]["timeline"])


def options_for(
    service: Service,
    language: str,
    *,
    word_timestamps: bool,
    channel: Channel = "mix",
    track: int | None = None,
    strict: bool = False,
    speakers: Bounds | None = None,
) -> Options:
    """The recogniser's options: the caller's and the operator's."""
    from glagol.speech.types import Options

    return Options(
        language=language,
        word_timestamps=word_timestamps,
        short_audio_s=service.settings.short_audio_s,
        max_audio_s=service.settings.max_audio_s,
        channel=channel,
        track=track,
        strict=strict,
        speakers=speakers,
    )


def report(request: AsrRequest, job: Job, transcript: Transcript) -> None:
    """Add the result to the note."""
    note_of(request).update(
        wait_s=round(job.wait_s, 3),
        work_s=round(job.work_s, 3),
        audio_s=transcript.duration_s,
        provenance=transcript.provenance,
    )


async def audited(service: Service, note: dict[str, Any], transcript: Transcript) -> None:
    """Write the transcript's line in the audit log, where there is one; then it may be answered."""
    if service.jobs is not None:
        await call(
            service.executors.disk,
            service.jobs.audit.transcribed,
            transcript,
            request=note["request_id"],
            call=note["call"],
            owner=note.get("key", ""),
        )


async def on_queue(
    request: AsrRequest, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `function`, which may block on the durable queue, in a thread of its pool."""
    return await call(service_of(request).executors.queue, function, *args, **kwargs)


async def on_uploads(
    request: AsrRequest, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `function`, which works on resumable uploads, in a thread of their pool."""
    return await call(service_of(request).executors.uploads, function, *args, **kwargs)


async def disconnected(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
