"""The body of a webhook, and the job that delivers it.

The queue stores the delivery job in the same transaction that ends the reported job: no job ends
without its webhook, and no webhook reports an end that did not happen.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec

from glagol.core import stored
from glagol.jobs.queue import NewJob, Trouble
from glagol.jobs.states import EVENTS, Event

__all__ = ["INLINE_BYTES_MAX", "KIND", "Delivery", "Notice", "notify", "read"]

KIND: Final = "deliver"
INLINE_BYTES_MAX: Final = 64 * 1024


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job.

    Attributes:
        event: What happened.
        job_id: The job.
        owner: The job's owner.
        result: The transcript as a JSON object, when the job is done; empty otherwise.
        trouble: Why it failed; None if it did not.
        link: URL of the result: a path such as `/v1/jobs/ID/result`, or absolute.
        traceparent: The trace of the request that made the job (W3C); empty means none.
    """

    event: Event
    job_id: str
    owner: str = ""
    result: bytes = b""
    trouble: Trouble | None = None
    link: str = ""
    traceparent: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of a job of `KIND`.

    Attributes:
        url: The receiver.
        job_id: The job that the event is about.
        event: What happened to it.
        body: The JSON text that is sent, the same in every attempt.
        attempts: Attempts at most.
        traceparent: See `Notice`.
    """

    url: str
    job_id: str
    event: Event
    body: str
    attempts: int
    traceparent: str = ""


class _JobField(msgspec.Struct, frozen=True):
    id: str
    state: str


class _Lacks(msgspec.Struct, frozen=True):
    """Fields of a result that say which audio is missing."""

    complete: bool | None = None
    warnings: msgspec.Raw = msgspec.Raw()


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    job: _JobField
    complete: bool | None = None
    warnings: msgspec.Raw | None = None
    result: msgspec.Raw | None = None
    result_url: str | None = None
    error: Trouble | None = None


class _Body(msgspec.Struct, frozen=True):
    type: Event
    timestamp: str
    data: _Data


def notify(notice: Notice, url: str, *, attempts: int = 10, ttl_s: float = 86400.0) -> NewJob:
    """Make the delivery job of a webhook; pass it as `follow` to finish, fail or cancel.

    The body holds a result of up to 64 KiB, or the link of a longer one, and in both cases the
    warnings about missing audio.

    Args:
        notice: What happened.
        url: The receiver; `ssrf.check_url` checked it when the request was accepted.
        attempts: How often the delivery is tried.
        ttl_s: How long an ended delivery stays listed.

    Returns:
        A job of `KIND`. Its id is the `webhook-id` of every attempt.
    """
    inline = 0 < len(notice.result) <= INLINE_BYTES_MAX
    lacks = msgspec.json.decode(notice.result, type=_Lacks) if notice.result else _Lacks()
    data = _Data(
        job=_JobField(notice.job_id, EVENTS[notice.event]),
        complete=lacks.complete,
        warnings=lacks.warnings or None,
        result=msgspec.Raw(notice.result) if inline else None,
        result_url=(notice.link or None) if notice.result else None,
        error=notice.trouble,
    )
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    body = msgspec.json.encode(_Body(notice.event, now, data)).decode()
    delivery = Delivery(
        url=url,
        job_id=notice.job_id,
        event=notice.event,
        body=body,
        attempts=attempts,
        traceparent=notice.traceparent,
    )
    return NewJob(
        id=f"wh_{uuid.uuid4().hex}",
        kind=KIND,
        payload=msgspec.json.encode(delivery),
        owner=notice.owner,
        attempts_max=attempts,
        ttl_s=ttl_s,
    )


def read(payload: bytes) -> Delivery:
    """Decode the payload of a job of `KIND`.

    Raises:
        IntegrityError: `state_too_new`, `state_damaged`.
    """
    return stored.read(payload, Delivery, "this delivery")
