"""Checks of jobs and requests to a queue, and the follow-up job of an orphaned job."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from glagol.core.errors import InputError
from glagol.jobs.queue import Job, NewJob, Trouble

__all__ = [
    "EXHAUSTED",
    "PAYLOAD_BYTES_MAX",
    "check",
    "check_followers",
    "conflict",
    "orphan_follow_up",
    "unknown",
    "wrong_state",
]

PAYLOAD_BYTES_MAX: Final = 1 << 20
EXHAUSTED: Final = Trouble(
    "attempts_exhausted",
    "the worker of every attempt stopped without a result",
    "look into the workers' logs for this job, then replay it",
)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check(new: NewJob) -> None:
    """Check the bounds that `NewJob` states.

    Raises:
        AssertionError: One is broken; that is a bug, since no caller chooses these values.
    """
    if not _ID.fullmatch(new.id) or not _ID.fullmatch(new.kind):
        raise AssertionError(f"neither an id nor a kind: {new.id!r}, {new.kind!r}")
    if len(new.payload) > PAYLOAD_BYTES_MAX:
        raise AssertionError(f"{len(new.payload)} bytes of payload")
    if new.attempts_max < 1 or new.delay_s < 0 or new.ttl_s < 0:
        raise AssertionError(f"{new.attempts_max} attempts, {new.delay_s} s, {new.ttl_s} s")


def check_followers(follow: Iterable[NewJob]) -> None:
    """Followers are named by their ids alone.

    Raises:
        AssertionError: One has an idempotency key, or breaks a bound.
    """
    for new in follow:
        check(new)
        if new.idempotency_key:
            raise AssertionError(f"{new.id} follows, and has an idempotency key")


def orphan_follow_up(job: Job, kind: str, ttl_s: float) -> NewJob:
    """The follow-up job of `job`, which ended at `job.attempt` without a live worker."""
    return NewJob(
        id=f"{job.id}-{job.attempt}",
        kind=kind,
        payload=job.id.encode(),
        owner=job.owner,
        ttl_s=ttl_s,
    )


def conflict(key: str) -> InputError:
    """The error of an idempotency key that came with another request."""
    return InputError(
        "idempotency_conflict",
        f"the idempotency key {key!r} was used for another request",
        "send the same request again, or choose a new key",
    )


def unknown(job_id: str) -> InputError:
    """The error of an id that names no job."""
    return InputError(
        "job_unknown",
        f"there is no job {job_id[:80]!r}; it may have been forgotten",
        "take the id from the answer that accepted the job",
    )


def wrong_state(job: Job) -> InputError:
    """The error of a replay that came too early or too late."""
    return InputError(
        "job_state",
        f"the job {job.id} is {job.state}",
        "only failed and cancelled jobs can be replayed",
    )
