"""The interface of the job queue: a job, and what both implementations guarantee.

A job is delivered at least once. The worker that claims it holds a lease. A lease that is not
renewed expires, and another worker gets the job under the next attempt number. The attempt number
is the fence: every write of a claim names it, and a write of an older attempt is refused.

The states and what each means are in `glagol.jobs.states`.
A failed job is the dead letter: it stays listed, with its error, until it is replayed or expires.
Times are Unix seconds by the implementation's one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from glagol.jobs.states import ENDED, Depth, State

__all__ = [
    "ENDED",
    "Claim",
    "Job",
    "LeaseLostError",
    "NewJob",
    "Queue",
    "State",
    "Trouble",
]


class LeaseLostError(Exception):
    """Another attempt holds the job, or the job ended: stop, and write nothing."""


class Trouble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a job failed: a code of the error table, what happened, what to do."""

    code: str
    message: str
    remedy: str


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to put into the queue.

    Attributes:
        id: Chosen by the caller, unique: 1..64 characters of `[A-Za-z0-9_-]`.
        kind: Kind of work, such as `transcribe` or `deliver`; a claim names the kinds it takes.
        payload: What the worker needs; opaque to the queue. At most 1 MiB.
        owner: Name of the key that made it; empty while keys are off.
        idempotency_key: The caller's key, unique per owner; empty means none.
        request_sha256: Digest of the request, to detect another request under the same key.
        delay_s: Seconds before its first claim.
        attempts_max: How often it may be claimed before it counts as failed.
        ttl_s: How long it is kept, with its result, once it ended.
        heir_kind: Kind of the follow-up job. It is put, in the same transaction, when this job ends
            without a worker (its last lease expired, or it was cancelled after its worker died).
            Its id is `<id>-<attempt>`, its payload this job's id. Empty: none.
    """

    id: str
    kind: str
    payload: bytes
    owner: str = ""
    idempotency_key: str = ""
    request_sha256: str = ""
    delay_s: float = 0.0
    attempts_max: int = 3
    ttl_s: float = 86400.0
    heir_kind: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now.

    Attributes:
        id: See `NewJob`.
        kind: See `NewJob`.
        payload: See `NewJob`.
        owner: See `NewJob`.
        state: One of `glagol.jobs.states`.
        attempt: How often it was claimed; never decreases, not even by a replay.
        attempts_max: The attempt after which a failure is final.
        created_s: When it was put.
        changed_s: When it last changed.
        due_s: Earliest time of the next claim.
        expires_s: When it is deleted; 0 until it ended.
        done: Progress, in the kind's own unit (seconds of audio).
        total: Of `done`; None while unknown.
        cancelling: Whether the worker that holds it was asked to stop.
        trouble: Why the last failed attempt failed; cleared when an attempt ends otherwise.
        version: Grows by one with every change.
    """

    id: str
    kind: str
    payload: bytes
    owner: str
    state: State
    attempt: int
    attempts_max: int
    created_s: float
    changed_s: float
    due_s: float
    expires_s: float
    done: float
    total: float | None
    cancelling: bool
    trouble: Trouble | None
    version: int


# msgspec completes a type at its first use; a second thread that uses it meanwhile crashes
msgspec.json.Decoder(tuple[Job, NewJob, Trouble])


class Claim(msgspec.Struct, frozen=True):
    """The right to work on a job until the lease runs out.

    Attributes:
        job: As it was when claimed; `job.attempt` is the fencing number.
        worker: Name of the worker that holds it.
        lease_s: Seconds until it runs out, unless renewed.
    """

    job: Job
    worker: str
    lease_s: float


class Queue(Protocol):
    """A durable queue. Methods are safe from any thread and process, and may wait for a disk
    or a network; none waits for a job.

    Raises (each method):
        HostError: `queue_unreachable`; `disk_full`; `host_io`. The answer may have been lost, so
            it is unknown whether anything changed. A repetition is always safe: a `put` of an
            existing id returns that job, a job whose claim was lost can be claimed again when its
            lease expires, and a call that ended the job raises `LeaseLostError` the second time.
    """  # noqa: D205

    def put(self, new: NewJob) -> Job:
        """Store `new`; once this returns, the job survives a crash.

        Returns:
            The job. With an idempotency key that was used before: the earlier job (its id is not
            `new.id`), in whatever state, until it is forgotten. With an id that exists: that job,
            unchanged.

        Raises:
            InputError: `idempotency_conflict`, the key was used with another `request_sha256`.
        """

    def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> Claim | None:
        """Claim the oldest due job of `kinds`, if any: one that is queued, or whose lease expired.

        A job whose lease expired at its last allowed attempt becomes `failed` with
        `attempts_exhausted` and is not returned; one that was being cancelled becomes `cancelled`.
        Either way its follow-up job is put. Progress restarts, and the last error is cleared.
        """

    def wait(self, kinds: Sequence[str], timeout_s: float) -> None:
        """Return when a job of `kinds` may have become due, or after `timeout_s`."""

    def renew(self, claim: Claim) -> bool:
        """Renew the lease for its full time.

        Returns:
            Whether the worker should continue; False when the job was cancelled.

        Raises:
            LeaseLostError: Another worker holds it, or it ended.
        """

    def progress(self, claim: Claim, done: float, total: float | None) -> bool:
        """Store the progress, and renew the lease; returns and raises as `renew`."""

    def finish(self, claim: Claim, result: bytes, follow: Sequence[NewJob] = ()) -> Job:
        """End the job as `done`: its result and follow-up jobs are stored in one transaction.

        Args:
            claim: The attempt.
            result: Any bytes.
            follow: Follow-up jobs without idempotency keys; one whose id exists is left out.

        Raises:
            LeaseLostError: Nothing was stored.
        """

    def fail(
        self,
        claim: Claim,
        trouble: Trouble,
        retry_in_s: float | None,
        follow: Sequence[NewJob] = (),
    ) -> Job:
        """End this attempt as failed; the job is tried again, or becomes `failed`.

        Args:
            claim: The attempt.
            trouble: Why.
            retry_in_s: Seconds until the next try; None, or no attempts left, makes it `failed`.
                A job with a cancel request is not tried again: it becomes `cancelled`, and its
                follow-up job is put.
            follow: Jobs stored in the same transaction if it became `failed`.

        Raises:
            LeaseLostError: Nothing was stored.
        """

    def stop(self, claim: Claim, follow: Sequence[NewJob] = ()) -> Job:
        """End the job as `cancelled`, after its worker was asked to stop.

        Raises:
            LeaseLostError: Nothing was stored.
        """

    def release(self, claim: Claim, delay_s: float = 0.0) -> Job:
        """Give the job back unfinished: the worker shuts down, or has no place for it. The job is
        queued, due after `delay_s`, and the attempt does not count against `attempts_max`. A job
        that was being cancelled becomes `cancelled`, and its follow-up job is put.

        Raises:
            LeaseLostError: Nothing was stored.
        """  # noqa: D205

    def cancel(self, job_id: str, follow: Sequence[NewJob] = ()) -> Job:
        """Cancel a job: a queued one becomes `cancelled` (with `follow`), the worker of a running
        one is asked to stop, an ended one is unchanged.

        Raises:
            InputError: `job_unknown`.
        """  # noqa: D205

    def replay(self, job_id: str) -> Job:
        """Queue a `failed` or `cancelled` job again, with its first number of attempts.

        Raises:
            InputError: `job_unknown`; `job_state`, it is in another state.
        """

    def get(self, job_id: str) -> Job:
        """The job as it is now.

        Raises:
            InputError: `job_unknown`.
        """

    def result(self, job_id: str) -> bytes | None:
        """The result that `finish` stored; None if there is none, or no longer."""

    def page(
        self, *, kind: str, state: State | None = None, owner: str | None = None,
        before: str = "", limit: int = 50,
    ) -> list[Job]:  # fmt: skip
        """Jobs, newest first.

        Args:
            kind: Only these.
            state: Only these; None means all.
            owner: Only this owner's; None means all owners'.
            before: Id of the last job of the previous page; empty for the first page.
            limit: 1..200.

        Raises:
            InputError: `job_unknown`, `before` was forgotten, or is of another kind or owner.
        """

    def ahead(self, job: Job) -> int:
        """How many queued jobs of its kind are due before it; 0 if it is not queued."""

    def depth(self, kind: str) -> Depth:
        """Number of queued, running and failed jobs."""

    def sweep(self) -> list[Job]:
        """Delete expired jobs, their results and idempotency keys. Only this and `forget` delete.

        Returns:
            The deleted jobs, at most 1,000 at a time, so that the caller can delete their files.
        """

    def forget(self, job_id: str) -> Job:
        """Delete a job in any state, with its payload, its result and its idempotency key. A worker
        that holds it loses its lease.

        Returns:
            The job as it was.

        Raises:
            InputError: `job_unknown`.
        """  # noqa: D205

    def set_aside(self) -> int:
        """How many unreadable records this object has found and set aside."""

    def ping(self) -> None:
        """Check that the queue can be used now."""

    def caveat(self) -> str:
        """Which guarantees the queue's configuration breaks, as a text for the operator; empty if
        none. Called at start, so that the server can warn.
        """  # noqa: D205

    def close(self) -> None:
        """Close files and connections."""
