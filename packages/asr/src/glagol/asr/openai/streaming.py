"""A transcript as server-sent events: text while it is made, then the whole.

The inference thread must never wait for a slow reader, so texts that wait are joined into one;
a reader that falls too far behind loses its transcription.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from glagol.asr.http.request import AsrRequest, audited, disconnected, note_of, report, service_of
from glagol.core.errors import HostError
from glagol.web import errors, sse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.response import Stream

    from glagol.asr.inference.tasks import Job
    from glagol.speech.types import Segment

__all__ = ["EventBuffer", "respond"]

UNREAD_CHARACTERS_MAX: Final = 1 << 20
KEEP_ALIVE_S: Final = 15.0


class EventBuffer:
    """Text on its way from the inference thread to the event loop.

    What was ever taken, joined, is the transcript's text so far.

    Args:
        loop: Where it is read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._text = ""
        self._begun = False

    def put(self, segment: Segment) -> None:
        """Add a segment's text; called in the inference thread, never waits.

        Raises:
            HostError: `cancelled`, more than a mebi of characters is unread.
        """
        with self._lock:
            self._text += f" {segment.text}" if self._begun else segment.text
            self._begun = True
            full = len(self._text) > UNREAD_CHARACTERS_MAX
        if full:
            raise HostError("cancelled", "the client reads too slowly", "read the stream faster")
        self._loop.call_soon_threadsafe(self._changed.set)

    def take(self) -> str:
        """The text that was not taken yet."""
        with self._lock:
            text, self._text = self._text, ""
        return text

    def wake(self) -> None:
        """Let `changed` return; called in the event loop."""
        self._changed.set()

    async def changed(self, patience_s: float) -> bool:
        """Wait for something new; False when nothing came for `patience_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._changed.wait()
        found = self._changed.is_set()
        self._changed.clear()
        return found


async def respond(
    request: AsrRequest, job: Job, box: EventBuffer, headers: Mapping[str, str]
) -> Stream:
    """The streamed answer to a job that waits in the queue and whose segments go to `box`.

    It begins with the first text, or after `KEEP_ALIVE_S`: what fails earlier still has an HTTP
    status. The job is cancelled when the client leaves.

    Raises:
        HostError: `cancelled`; or what the job failed with before its first segment.
    """
    steps = _steps(request, job, box)
    first: asyncio.Future[bytes] = asyncio.ensure_future(anext(steps))
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        either: set[asyncio.Future[Any]] = {first, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            raise HostError(
                "cancelled", "the client disconnected before the response", "send it again"
            )
        head = first.result()
    finally:
        gone.cancel()
        first.cancel()
    return sse.respond(_guarded(request, head, steps), headers)


async def _steps(request: AsrRequest, job: Job, box: EventBuffer) -> AsyncGenerator[bytes, None]:
    """Events until the job is done; its error is raised."""
    result = asyncio.wrap_future(job.done)
    result.add_done_callback(lambda _: box.wake())
    try:
        done = False
        while not done:
            if not await box.changed(KEEP_ALIVE_S):
                yield sse.comment("the model is busy")
            done = result.done()  # asked first: nothing is put after the end
            if text := box.take():
                yield _event({"type": "transcript.text.delta", "delta": text})
        transcript, answer = result.result()
        report(request, job, transcript)
        await audited(service_of(request), note_of(request), transcript)
        yield _event({"type": "transcript.text.done", **msgspec.json.decode(answer)})
    finally:
        if not result.done():
            note_of(request)["code"] = "cancelled"
            job.cancel()
            result.cancel()


async def _guarded(
    request: AsrRequest, head: bytes, steps: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    """`head`, then `steps`; an error becomes the last event."""
    try:
        yield head
        async for step in steps:
            yield step
    except Exception as error:  # noqa: BLE001 - the status is sent already
        fault = errors.record(error, request.scope["path"], note_of(request))
        yield sse.event(errors.openai_body(fault), name="error")
    finally:
        await steps.aclose()


def _event(data: dict[str, Any]) -> bytes:
    return sse.event(msgspec.json.encode(data), name=data["type"])
