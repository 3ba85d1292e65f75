"""Webhook delivery routes: list, inspect, replay."""

from __future__ import annotations

import contextlib
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response import Response

from glagol.asr.http.pagination import only, page_of
from glagol.asr.http.request import AsrRequest, jobs_of, note_of, on_queue, sees
from glagol.asr.jobs.openapi import JobsOperation, responses
from glagol.core.errors import InputError, IntegrityError
from glagol.jobs.queue import Job, Queue, State
from glagol.jobs.states import Event
from glagol.jobs.webhooks import payload
from glagol.jobs.webhooks.worker import Attempt, attempts_of
from glagol.web import envelope

__all__ = ["HANDLERS", "DeliveryView"]


class DeliveryView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A delivery. Times are Unix seconds; `id` is the `webhook-id` that the receiver sees.

    `receiver` is the address without its path, which may hold secrets; `due_s` is when it is tried
    next, null when it is not; `attempts` tells how the tries ended that the queue still knows of.
    """

    id: str
    job_id: str
    event: Event
    receiver: str
    state: State
    attempt: int
    attempts_max: int
    created_s: float
    due_s: float | None
    attempts: list[Attempt]


class DeliveryEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A successful answer about one delivery."""

    success: Literal[True]
    data: DeliveryView
    error: None


class DeliveryList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deliveries, newest first; `next` is where the next page begins, null on the last one."""

    deliveries: list[DeliveryView]
    next: str | None


class DeliveryListEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A successful answer about deliveries."""

    success: Literal[True]
    data: DeliveryList
    error: None


@get(
    "/v1/deliveries",
    summary="Webhook deliveries, newest first; state=failed lists those that were given up",
    operation_class=JobsOperation,
    responses=responses(DeliveryListEnvelope),
)
async def deliveries(request: AsrRequest) -> Response[bytes]:
    """A page of the deliveries that the caller may see."""
    page, queue, owner = page_of(request), jobs_of(request).queue, sees(request)

    def listed() -> DeliveryList:
        found = queue.page(
            kind=payload.KIND,
            state=page.state,
            owner=owner,
            before=page.before,
            limit=page.limit,
        )
        views = []
        for job in found:
            with contextlib.suppress(
                IntegrityError
            ):  # written by a newer release; GET of the delivery reports it
                views.append(_view(queue, job))
        return DeliveryList(views, page.next(found))

    return _answer(await on_queue(request, listed))


@get(
    "/v1/deliveries/{delivery_id:str}",
    summary="A webhook delivery as it is now",
    responses=responses(DeliveryEnvelope),
)
async def delivery(request: AsrRequest, delivery_id: FromPath[str]) -> Response[bytes]:
    """State, receiver, and how its tries ended."""
    only(request, ())
    queue, owner = jobs_of(request).queue, sees(request)
    return _answer(
        await on_queue(request, lambda: _view(queue, _known(request, queue, delivery_id, owner)))
    )


@post(
    "/v1/deliveries/{delivery_id:str}/replay",
    status_code=202,
    summary="Try a webhook delivery again that was given up",
    responses=responses(DeliveryEnvelope, 202),
)
async def replay(request: AsrRequest, delivery_id: FromPath[str]) -> Response[bytes]:
    """It gets its first number of attempts anew, under the same `webhook-id`."""
    only(request, ())
    queue, owner = jobs_of(request).queue, sees(request)

    def again() -> DeliveryView:
        return _view(queue, queue.replay(_known(request, queue, delivery_id, owner).id))

    return _answer(await on_queue(request, again), 202)


def _known(request: AsrRequest, queue: Queue, delivery_id: str, owner: str | None) -> Job:
    """The delivery with this id, if there is one that the caller may see.

    Raises:
        InputError: `job_unknown`.
        HostError: `queue_unreachable`.
    """
    job = None
    with contextlib.suppress(InputError):
        job = queue.get(delivery_id)
    if job is None or job.kind != payload.KIND or (owner is not None and job.owner != owner):
        raise InputError(
            "job_unknown",
            f"there is no delivery {delivery_id[:64]!r}",
            "GET /v1/deliveries lists all",
        )
    note_of(request)["delivery"] = job.id
    return job


def _view(queue: Queue, job: Job) -> DeliveryView:
    webhook = payload.read(job.payload)
    parts = urlsplit(webhook.url)
    return DeliveryView(
        id=job.id,
        job_id=webhook.job_id,
        event=webhook.event,
        receiver=f"{parts.scheme}://{parts.netloc}",
        state=job.state,
        attempt=job.attempt,
        attempts_max=job.attempts_max,
        created_s=round(job.created_s, 3),
        due_s=round(job.due_s, 3) if job.state == "queued" else None,
        attempts=attempts_of(job, queue.result(job.id) if job.state == "done" else None),
    )


def _answer(data: DeliveryView | DeliveryList, status: int = 200) -> Response[bytes]:
    body = envelope.success(msgspec.json.encode(data))
    return Response(body, status_code=status, media_type="application/json")


HANDLERS: Final = [deliveries, delivery, replay]
