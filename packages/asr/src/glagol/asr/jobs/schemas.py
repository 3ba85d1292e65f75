"""What travels over HTTP about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from glagol.asr.http import rendering
from glagol.asr.http.request import on_queue
from glagol.asr.jobs.payload import Work
from glagol.jobs.queue import ENDED, Job, State, Trouble
from glagol.speech.types import Notice
from glagol.web.links import relative

if TYPE_CHECKING:
    from glagol.asr.http.request import AsrRequest
    from glagol.asr.jobs.eta import Throughput
    from glagol.asr.jobs.service import Jobs

__all__ = [
    "JobEnvelope",
    "JobList",
    "JobListEnvelope",
    "JobView",
    "Links",
    "Progress",
    "lacks_of",
    "view",
]


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of audio that are done, and in all; the total is null while it is unknown."""

    done_s: float
    total_s: float | None


class Links(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Links to the job's other routes; `result` is null until the job is done.

    They are relative to the address that was asked for (RFC 3986, section 5.2).
    """

    self: str
    events: str
    result: str | None


class JobView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job. Times are Unix seconds.

    `ahead` jobs are due before it while it waits; `eta_s` is an estimate of the seconds until it is
    done, null when nothing is known; `error` is the trouble of the last attempt, of a job that
    waits for the next one too; `expires_s` is when it will be forgotten, null until it ended.
    `complete` and `warnings` are those of its transcript, null until it is done and in lists.
    """

    id: str
    state: State
    attempt: int
    attempts_max: int
    cancelling: bool
    model: str
    audio_sha256: str
    created_s: float
    changed_s: float
    expires_s: float | None
    progress: Progress
    ahead: int | None
    eta_s: float | None
    error: Trouble | None
    complete: bool | None
    warnings: tuple[Notice, ...] | None
    links: Links


class JobEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A successful answer about one job."""

    success: Literal[True]
    data: JobView
    error: None


class JobList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs, newest first; `next` is where the next page begins, null on the last one."""

    jobs: list[JobView]
    next: str | None


class JobListEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A successful answer about jobs."""

    success: Literal[True]
    data: JobList
    error: None


async def lacks_of(request: AsrRequest, jobs: Jobs, job: Job) -> rendering.Lacks | None:
    """What the recording of a job lacks; None while it is not done, or when its result is gone.

    Raises:
        HostError: `queue_unreachable`.
    """
    if job.state != "done":
        return None
    data = await on_queue(request, jobs.queue.result, job.id)
    return None if data is None else rendering.lacks(data)


def view(
    job: Job,
    throughput: Throughput,
    ahead: int | None,
    base: str,
    lacks: rendering.Lacks | None = None,
) -> JobView:
    """What a caller sees of `job`.

    Args:
        job: As the queue has it.
        throughput: For the estimate.
        ahead: Jobs due before it, when it waits and that was asked.
        base: The path of the request, which the links are relative to.
        lacks: What its recording lacks, when it is done and that was asked.
    """
    work = Work.decoded(job.payload)
    total_s = job.total if job.total is not None else work.audio_s
    left_s = None if total_s is None else max(0.0, total_s - job.done)
    path = f"/v1/jobs/{job.id}"
    done = relative(f"{path}/result", base) if job.state == "done" else None
    return JobView(
        id=job.id,
        state=job.state,
        attempt=job.attempt,
        attempts_max=job.attempts_max,
        cancelling=job.cancelling,
        model=work.model,
        audio_sha256=work.audio_sha256,
        created_s=round(job.created_s, 3),
        changed_s=round(job.changed_s, 3),
        expires_s=round(job.expires_s, 3) if job.expires_s else None,
        progress=Progress(round(job.done, 3), None if total_s is None else round(total_s, 3)),
        ahead=ahead,
        eta_s=None if job.state in ENDED else throughput.eta_s(ahead or 0, left_s),
        error=job.trouble,
        complete=None if lacks is None else lacks.complete,
        warnings=None if lacks is None else lacks.warnings,
        links=Links(relative(path, base), relative(f"{path}/events", base), done),
    )
