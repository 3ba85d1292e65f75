"""A transcription request that becomes a job: 202, and the result later."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from glagol.asr.http.options import OptionError
from glagol.asr.http.request import (
    AsrRequest,
    checked,
    jobs_of,
    note_of,
    owner_of,
    received,
    service_of,
)
from glagol.asr.jobs import routes
from glagol.asr.jobs.payload import Work
from glagol.core.errors import InputError
from glagol.jobs.queue import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from litestar.response import Response

    from glagol.asr.http.multipart import Upload
    from glagol.asr.http.options import Wish
    from glagol.asr.http.request import Read

__all__ = ["accept", "receive"]

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


async def receive(
    request: AsrRequest, read: Read, early: Wish, late: Callable[[Mapping[str, list[str]]], Wish]
) -> Response[bytes]:
    """Take the body to where jobs' inputs lie, and accept it.

    Args:
        request: Says in its query that it wants a job.
        read: Reads the body.
        early: What the query asks.
        late: From the form's fields to what query and body ask together.

    Raises:
        InputError: `webhook_refused`, `idempotency_conflict`, or what `read` and `late` raise.
        LimitError: `queue_full`, `spool_full`.
        HostError: `queue_unreachable`, `disk_full`.
    """
    jobs, announced = jobs_of(request), request.headers.get("content-length", "")
    _key(request)
    if early.webhook_url:
        jobs.check_webhook(early.webhook_url)
    size_bytes = int(announced) if announced.isascii() and announced.isdigit() else 0
    await asyncio.to_thread(jobs.admit)
    with jobs.inputs.arrival(size_bytes) as place:
        body = await received(request, read, place)
        with body.file:
            return await accept(request, body, late(body.fields))


async def accept(request: AsrRequest, body: Upload, wish: Wish) -> Response[bytes]:
    """Make a job of a received body, which stays open.

    Raises:
        InputError: `webhook_refused`, `idempotency_conflict`, or the audio is wrong.
        OptionError: `option_invalid`, nobody could summarise.
        LimitError: `queue_full`, `spool_full`.
        HostError: `queue_unreachable`, `disk_full`.
    """
    jobs, note = jobs_of(request), note_of(request)
    key = _key(request)
    if wish.webhook_url:
        jobs.check_webhook(wish.webhook_url)
    if wish.summarize and not jobs.policy().summaries.url:
        raise OptionError(
            "summarize", "this server knows no llm-server", "ask its operator for [summaries] url"
        )
    note["model"] = wish.model.id
    audio_s = await checked(body, service_of(request).settings.max_audio_s, wish.channel)
    work = Work(
        model=wish.model.id,
        language=wish.language,
        word_timestamps=wish.word_timestamps,
        format=wish.format,
        audio_sha256=body.sha256,
        size_bytes=body.size_bytes,
        audio_s=audio_s,
        channel=wish.channel,
        webhook_url=wish.webhook_url,
        summarize=wish.summarize,
        request_id=note["request_id"],
        traceparent=note.get("traceparent", ""),
    )
    job, replayed = await asyncio.to_thread(
        jobs.submit, work, body.file, owner=owner_of(request), idempotency_key=key
    )
    note["job_id"] = job.id
    headers = {"location": f"/v1/jobs/{job.id}"}
    if replayed:
        headers["idempotency-replayed"] = "true"
    return await routes.answer(jobs, job, 200 if job.state in ENDED else 202, headers)


def _key(request: AsrRequest) -> str:
    key = request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise InputError(
            "request_invalid",
            "Idempotency-Key is not 1..255 printable ASCII characters without spaces",
            "send a random one, such as a UUID",
        )
    return key
