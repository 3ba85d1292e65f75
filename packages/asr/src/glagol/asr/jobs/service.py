"""Job operations of the server: submit, read, cancel, replay, notify.

All functions may wait for a disk or a network, so an event loop calls them in a thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from glagol.asr.jobs.eta import Throughput
from glagol.asr.jobs.inputs import Inputs
from glagol.asr.jobs.payload import KIND, NOTIFY, Work, made_s, name
from glagol.asr.observability.audit import Audit
from glagol.asr.observability.counts import Counts
from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.jobs import validation
from glagol.jobs.factory import open_queue
from glagol.jobs.queue import ENDED, Job, NewJob, Queue, Trouble
from glagol.jobs.states import CANCELLED, REPLAYABLE, SETTLED, Depth, Event
from glagol.jobs.waiting import Waiting
from glagol.jobs.webhooks import payload, ssrf

if TYPE_CHECKING:
    from glagol.asr.settings import Settings
    from glagol.jobs.webhooks.payload import Delivery
    from glagol.jobs.webhooks.send import Outcome
    from glagol.web.access.policy import Policy
    from glagol.web.tracing import Timeline, Traces

__all__ = ["WAITING_MAX", "Jobs", "Sample", "open_jobs"]

WAITING_MAX: Final = 10_000
"""Jobs that may wait; usually the quota of the spool is reached first."""

_PAGE: Final = 200
_PUT_TRIES: Final = 3
_PUT_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The queue at one moment.

    Attributes:
        reachable: Whether the queue answered.
        depths: Numbers of jobs by kind.
        oldest_s: Seconds that the oldest queued job has waited.
    """

    reachable: bool = True
    depths: Mapping[str, Depth] = field(default_factory=dict)
    oldest_s: float = 0.0


@dataclass(slots=True)
class Jobs:
    """The queue, the inputs, and the operator's policy for them.

    Attributes:
        queue: The queue, of this process or shared.
        inputs: The audio of the jobs.
        policy: Returns the current policy.toml.
        throughput: Measured speed of the jobs.
        closing: Set when the process stops; ends event streams.
        attempts: Ended attempts of this process, by result.
        deliveries: Webhook attempts of this process, by verdict (`taken`, `final`, `again`).
        sample: Numbers of queued, running and failed jobs, a few seconds old.
        traces: Receives spans; None while traces are off.
        audit: The audit log, with a line for each transcript.
        waiting: Owners of the waiting jobs that this process put.
        clock: Unix seconds.
    """

    queue: Queue
    inputs: Inputs
    policy: Callable[[], Policy]
    throughput: Throughput = field(default_factory=Throughput)
    closing: threading.Event = field(default_factory=threading.Event)
    attempts: Counts = field(default_factory=Counts)
    deliveries: Counts = field(default_factory=Counts)
    sample: Sample = Sample()
    traces: Traces | None = None
    audit: Audit = field(default_factory=Audit)
    waiting: Waiting = field(default_factory=Waiting)
    clock: Callable[[], float] = time.time

    def admit(self, owner: str) -> None:
        """Check that the queue can be reached and has room for a job of `owner`.

        Args:
            owner: Owner of the request; see `glagol.web.access.owner.owner_of`.

        Raises:
            LimitError: `queue_full`; `share_used`, too many jobs of `owner` wait.
            HostError: `queue_unreachable`.
        """
        self.waiting.admit(owner, self.queue.depth(KIND)["queued"], WAITING_MAX)

    def check_webhook(self, url: str) -> None:
        """Check that a webhook may be sent to `url`.

        Raises:
            InputError: `webhook_refused`.
        """
        webhooks = self.policy().webhooks
        if not webhooks.secrets:
            raise InputError(
                "webhook_refused",
                "webhooks are off: there is no secret to sign them with",
                "ask the operator for [webhooks] secrets in policy.toml",
            )
        ssrf.check_url(url, ssrf.Rules.of(webhooks.allow, webhooks.ports))

    def submit(
        self, work: Work, file: BinaryIO, *, owner: str, idempotency_key: str
    ) -> tuple[Job, bool]:
        """Store the input and put the job; once this returns, the job survives a crash.

        Args:
            work: What to do.
            file: The input, a file of a `Spool`; stays open.
            owner: Owner of the job.
            idempotency_key: The caller's; empty means none.

        Returns:
            The job, and whether it is an earlier one with the same key.

        Raises:
            InputError: `idempotency_conflict`.
            HostError: `queue_unreachable`, `disk_full`, `host_io`.
        """
        job_id, rules = name(self.clock()), self.policy().jobs
        self.inputs.keep(file, job_id)
        new = NewJob(
            id=job_id,
            kind=KIND,
            payload=work.encoded(),
            owner=owner,
            idempotency_key=idempotency_key,
            request_sha256=work.sha256(),
            attempts_max=rules.attempts,
            ttl_s=rules.result_ttl_s,
            heir_kind=NOTIFY if work.webhook_url else "",
        )
        try:
            job = self._put(new)
        except InputError:
            self.inputs.drop(job_id)
            raise
        if job.id != job_id:
            self.inputs.drop(job_id)
        return job, job.id != job_id

    def get(self, job_id: str, owner: str | None) -> Job:
        """A job of `owner`; None means any owner's.

        Raises:
            InputError: `job_unknown`; `job_expired`, if it certainly existed and has expired.
            HostError: `queue_unreachable`.
        """
        job: Job | None = None
        with contextlib.suppress(InputError):
            job = self.queue.get(job_id)
            if job.kind != KIND or owner not in (None, job.owner):
                job = None
        if job is None:  # the job of another owner gets the same response as none
            made, kept_s = made_s(job_id), self.policy().jobs.result_ttl_s
            if made is not None and 0 <= made < self.clock() - kept_s:
                raise _expired(job_id)
            raise validation.unknown(job_id)
        if job.state in ENDED and 0 < job.expires_s <= self.clock():
            raise _expired(job_id)
        return job

    def end(self, job_id: str, owner: str | None) -> Job:
        """Cancel a job of `owner`: at once if it is queued, after its current chunk if it runs.

        A job that has ended is deleted, with its result, its input and its deliveries.

        Returns:
            The job; a deleted one as it was.

        Raises:
            InputError: `job_unknown`, `job_expired`.
            HostError: `queue_unreachable`.
        """
        job = self.get(job_id, owner)
        if job.state not in ENDED:
            job = self.queue.cancel(job_id, self.notices(job, "transcription.cancelled"))
            self.settle(job)
            if job.state not in ENDED or job.state == CANCELLED:
                return job
        self._remove(job)
        return job

    def _remove(self, job: Job) -> None:
        """Delete an ended job with all its data; its deliveries first, as they contain its text."""
        for delivery_id in self._deliveries(job):
            with contextlib.suppress(InputError):  # it was forgotten meanwhile
                self.queue.forget(delivery_id)
        with contextlib.suppress(InputError):
            self.queue.forget(job.id)
        self.inputs.drop(job.id)

    def _deliveries(self, job: Job) -> list[str]:
        """Ids of the webhook deliveries about `job`, in any state."""
        with contextlib.suppress(IntegrityError):
            if not Work.decoded(job.payload).webhook_url:
                return []
        found: list[str] = []
        before = ""
        while page := self.queue.page(
            kind=payload.KIND, owner=job.owner, before=before, limit=_PAGE
        ):
            for each in page:
                with contextlib.suppress(IntegrityError):
                    if payload.read(each.payload).job_id == job.id:
                        found.append(each.id)
            before = page[-1].id
            if page[-1].created_s < job.created_s:  # all further ones are older
                break
        return found

    def replay(self, job_id: str, owner: str | None) -> Job:
        """Queue a failed job of `owner` again.

        Raises:
            InputError: `job_unknown`, `job_expired`; `job_state`, or its input is gone.
            HostError: `queue_unreachable`.
        """
        job = self.get(job_id, owner)
        if job.state in REPLAYABLE and not self.inputs.has(job_id):
            raise InputError(
                "job_state", f"the input of the job {job_id} is gone", "send it as a new job"
            )
        return self.queue.replay(job_id)

    def notices(
        self, job: Job, event: Event, *, result: bytes = b"", trouble: Trouble | None = None
    ) -> tuple[NewJob, ...]:
        """The delivery job of the webhook for `event`; empty if `job` has no webhook."""
        work = Work.decoded(job.payload)
        if not work.webhook_url:
            return ()
        policy = self.policy()
        notice = payload.Notice(
            event=event,
            job_id=job.id,
            owner=job.owner,
            result=result,
            trouble=trouble,
            link=f"{policy.webhooks.base_url.rstrip('/')}/v1/jobs/{job.id}/result",
            traceparent=work.traceparent,
        )
        kept_s, attempts = policy.jobs.result_ttl_s, policy.webhooks.attempts
        return (payload.notify(notice, work.webhook_url, attempts=attempts, ttl_s=kept_s),)

    def settle(self, job: Job) -> None:
        """Delete the input of a job that needs it no longer; a failed job may be replayed."""
        if job.state in SETTLED:
            self.inputs.drop(job.id)

    def is_over(self, job_id: str) -> bool:
        """Whether the job needs its input no longer; False if the queue cannot be reached."""
        try:
            return self.queue.get(job_id).state in SETTLED
        except InputError:
            return True
        except HostError:
            return False

    def delivered(
        self, delivery: Delivery, outcome: Outcome, began_s: float, ended_s: float
    ) -> None:
        """Count an attempt of a webhook delivery, and trace it."""
        self.deliveries.add(outcome.verdict)
        if self.traces is not None:
            note = {"job_id": delivery.job_id}
            if outcome.verdict != "taken":
                note["code"] = "webhook_failed"
            parent = delivery.traceparent
            self.traces.tell("deliver", parent, began_s, ended_s, note, outgoing=True)

    def worked(
        self, job: Job, work: Work, began_s: float, note: Mapping[str, Any], timeline: Timeline
    ) -> None:
        """Trace an attempt that ended, and the wait before the first one.

        Args:
            job: As it was claimed.
            work: Its decoded payload.
            began_s: When the attempt began, by `clock`.
            note: Fields of the log line.
            timeline: The attempt's phases.
        """
        if self.traces is None:
            return
        if job.attempt == 1:
            self.traces.tell("wait", work.traceparent, job.created_s, began_s, {"job_id": job.id})
        fields = {**note, "job_id": job.id}
        self.traces.tell("job", work.traceparent, began_s, self.clock(), fields, timeline=timeline)

    def sweep(self) -> None:
        """Delete expired jobs, and inputs that no job needs.

        Raises:
            HostError: `queue_unreachable`, `host_io`.
        """
        while forgotten := self.queue.sweep():
            for job in forgotten:
                self.inputs.drop(job.id)
        self.inputs.sweep(self.is_over)

    def _put(self, new: NewJob) -> Job:
        """Put a job; retry if the answer was lost, since the job may have been stored."""
        for left in reversed(range(_PUT_TRIES)):
            try:
                return self.queue.put(new)
            except HostError:
                if not left:
                    raise
                time.sleep(_PUT_PAUSE_S)
        raise AssertionError("there is a last try")


def open_jobs(settings: Settings, policy: Callable[[], Policy]) -> Jobs:
    """Open the queue and the inputs by the settings.

    Raises:
        HostError: `queue_unreachable`, with the reason why there is no job queue.
    """
    if not settings.state:
        raise _off("neither ASR_STATE nor HOME is set")
    state = Path(settings.state)
    try:
        inputs = Inputs(state / "spool", lambda: policy().jobs.spool_bytes)
        queue, audit = open_queue(settings.redis_url, state), Audit(state / "audit.log")
        return Jobs(queue, inputs, policy, audit=audit, waiting=Waiting(settings.owner_share))
    except HostError as error:
        raise _off(error.message) from error


def _off(reason: str) -> HostError:
    return HostError(
        "queue_unreachable",
        f"this server keeps no jobs: {reason}",
        "set ASR_STATE to a directory that the server can write; synchronous requests need none",
    )


def _expired(job_id: str) -> InputError:
    return InputError(
        "job_expired",
        f"the job {job_id} has expired",
        "send the audio again, and fetch the result earlier",
    )
