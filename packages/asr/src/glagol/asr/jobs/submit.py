"""Turn a transcription request into a job: answer 202, and give the result later."""

from __future__ import annotations

import re
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from glagol.asr.http import steps
from glagol.asr.http.options import OptionError
from glagol.asr.http.request import (
    AsrRequest,
    jobs_of,
    note_of,
    on_queue,
    options_for,
    owner_of,
    service_of,
    sharer_of,
)
from glagol.asr.http.spool import ANYWHERE
from glagol.asr.jobs import routes
from glagol.asr.jobs.payload import Work
from glagol.core.errors import InputError
from glagol.jobs.queue import ENDED
from glagol.web.links import relative

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from litestar.response import Response

    from glagol.asr.http.options import RequestOptions
    from glagol.asr.http.spool import Place
    from glagol.asr.jobs.service import Jobs

__all__ = ["accept", "job"]

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Permit:
    """Result of the check that this server can run a requested job.

    Attributes:
        jobs: Where the job will be.
        key: The caller's idempotency key; empty means none.
    """

    jobs: Jobs
    key: str


async def job(request: AsrRequest, asked: steps.Asked) -> Response[bytes]:
    """Receive the body into the folder of inputs, and make a job of it.

    Args:
        request: Says in its query that it wants a job.
        asked: What its head says.

    Raises:
        InputError: `webhook_refused`, `idempotency_conflict`, or what `steps.receive` raises.
        OptionError: `option_invalid`, this server knows no llm-server.
        LimitError: `queue_full`, `share_used`, `spool_full`.
        HostError: `queue_unreachable`, `disk_full`.
    """
    jobs = _permit(request, asked.chosen).jobs
    await on_queue(request, jobs.admit, sharer_of(request))
    with _arrival(request, jobs, asked.chosen) as place:
        return await accept(request, await steps.receive(request, asked, place))


async def accept(request: AsrRequest, received: steps.Received) -> Response[bytes]:
    """Make a job of a received body, and close it.

    Raises:
        InputError: `webhook_refused`, `idempotency_conflict`, or the audio is wrong.
        OptionError: `option_invalid`, this server knows no llm-server.
        LimitError: `queue_full`, `share_used`, `spool_full`.
        HostError: `queue_unreachable`, `disk_full`.
    """
    body, chosen, note = received.body, received.chosen, note_of(request)
    with body.file:
        permit = _permit(request, chosen)
        await on_queue(request, permit.jobs.admit, sharer_of(request))
        note["model"] = chosen.model.id
        audio_s = await _declared_s(request, received)
        made, replayed = await on_queue(
            request,
            permit.jobs.submit,
            _work(request, received, audio_s),
            body.file,
            owner=owner_of(request),
            idempotency_key=permit.key,
        )
        if not replayed:
            permit.jobs.waiting.add(sharer_of(request))
        note["job_id"] = made.id
        headers = {"location": relative(f"/v1/jobs/{made.id}", request.scope["path"])}
        if replayed:
            headers["idempotency-replayed"] = "true"
        status = 200 if made.state in ENDED else 202
        return await routes.answer(request, permit.jobs, made, status, headers)


def _permit(request: AsrRequest, chosen: RequestOptions) -> Permit:
    """Check what needs no body; called again when a form has added options."""
    jobs, key = jobs_of(request), request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise InputError(
            "request_invalid",
            "Idempotency-Key is not 1..255 printable ASCII characters without spaces",
            "send a random one, such as a UUID",
        )
    if chosen.webhook_url:
        jobs.check_webhook(chosen.webhook_url)
    if chosen.summarize and not jobs.policy().summaries.url:
        raise OptionError(
            "summarize", "this server knows no llm-server", "ask its operator for [summaries] url"
        )
    return Permit(jobs, key)


def _arrival(
    request: AsrRequest, jobs: Jobs, chosen: RequestOptions
) -> AbstractContextManager[Place]:
    """Where the body goes; that of a resumable upload is there already."""
    if chosen.upload:
        return nullcontext(ANYWHERE)
    announced = request.headers.get("content-length", "")
    size_bytes = int(announced) if announced.isascii() and announced.isdigit() else 0
    return jobs.inputs.arrival(size_bytes)


async def _declared_s(request: AsrRequest, received: steps.Received) -> float | None:
    """Open the audio: what cannot be transcribed becomes no job.

    Returns:
        Seconds that it says it is long; None when it does not say.
    """
    chosen = received.chosen
    options = options_for(
        service_of(request),
        chosen.language,
        word_timestamps=False,
        channel=chosen.channel,
        track=chosen.track,
    )
    with closing(await steps.opened(request, received.body, options)) as source:
        return source.declared_s


def _work(request: AsrRequest, received: steps.Received, audio_s: float | None) -> Work:
    body, chosen, note = received.body, received.chosen, note_of(request)
    return Work(
        model=chosen.model.id,
        language=chosen.language,
        word_timestamps=chosen.word_timestamps,
        format=chosen.format,
        audio_sha256=body.sha256,
        size_bytes=body.size_bytes,
        audio_s=audio_s,
        channel=chosen.channel,
        track=chosen.track,
        strict=chosen.strict,
        speakers=chosen.speakers,
        engine=chosen.engine,
        webhook_url=chosen.webhook_url,
        summarize=chosen.summarize,
        request_id=note["request_id"],
        traceparent=note.get("traceparent", ""),
    )
