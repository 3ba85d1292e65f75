"""`WS /v1/stream`: live transcription over a WebSocket, one thread per stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import WebSocket, websocket
from litestar.datastructures import State

from glagol.asr.http.engine_options import EngineOptions
from glagol.asr.http.options import granted, language_of, model_of, phrases_of
from glagol.asr.http.request import audited, options_for
from glagol.asr.live import messages as live_wire
from glagol.asr.live.bridge import Feed, Outbox
from glagol.asr.live.session import LiveSession
from glagol.core.errors import HostError, InputError
from glagol.web import errors
from glagol.web.access.auth import RECHECK_S, recheck
from glagol.web.access.owner import owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from glagol.asr.http.request import Service
    from glagol.speech.types import Transcript

__all__ = ["stream"]

MESSAGE_BYTES_MAX: Final = 1 << 20
NORMAL: Final = 1000
PROTOCOL: Final = "glagol"
GOODBYE_S: Final = 10.0

AsrSocket = WebSocket[Any, Any, State]


@websocket("/v1/stream")
async def stream(socket: AsrSocket) -> None:
    """Transcribe audio while it is spoken; the protocol is in docs/reference/streaming.md."""
    note: dict[str, Any] = socket.scope["state"]["note"]
    service = cast("Service", socket.app.state.service)
    feed = Feed(asyncio.get_running_loop())
    # a browser sends its key as a subprotocol, and requires that one subprotocol is accepted
    await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
    code = NORMAL
    try:
        try:
            service.streams.enter(feed, owner_of(cast("dict[str, Any]", socket.scope)))
            last = live_wire.done(await _served(socket, service, feed, note))
        except Exception as error:  # noqa: BLE001 - sent to the client, and logged
            fault = errors.record(error, socket.scope["path"], note)
            code = live_wire.CLOSE_BASE + fault.status
            last = live_wire.failed(fault, note["request_id"])
        with suppress(Exception):  # the client may have disconnected
            async with asyncio.timeout(GOODBYE_S):
                await socket.send_text(last.decode())
                await socket.close(code, note.get("code", ""))
    finally:
        service.streams.leave(feed)


async def _served(
    socket: AsrSocket, service: Service, feed: Feed, note: dict[str, Any]
) -> Transcript:
    """Run one stream, from its first message to its last final."""
    loop, idle_s = asyncio.get_running_loop(), service.streams.idle_s
    messages, outbox = _messages(socket, idle_s), Outbox(loop)
    first = await anext(messages)
    start = first if isinstance(first, live_wire.Start) else live_wire.Start()
    session = _session(service, start, feed, outbox)
    note["model"] = session.model
    session.timeline = socket.scope["state"]["timeline"]
    service.engine.admit(session.model)
    reading = asyncio.create_task(_read(messages, first, feed, session.left))
    watching = asyncio.create_task(_watch_key(socket, feed))
    transcribing = loop.run_in_executor(service.streams.threads, session.run)
    try:
        hello = live_wire.ready(note["request_id"], session.model, session.options.language)
        await _send(socket, hello, idle_s)
        while (message := await outbox.take()) is not None:
            await _send(socket, message, idle_s)
        transcript = await transcribing
    finally:
        session.left.set()
        feed.fail(_left())
        outbox.close()
        reading.cancel()
        watching.cancel()
        await asyncio.wait([transcribing])  # the place is released only when the thread ends
        transcribing.exception()  # it was raised above, or the client disconnected
    note.update(
        wait_s=round(session.wait_s, 3),
        work_s=round(session.work_s, 3),
        audio_s=transcript.duration_s,
        audio_sha256=feed.sha256,
        provenance=transcript.provenance,
    )
    await audited(service, note, transcript)
    return transcript


def _session(service: Service, start: live_wire.Start, feed: Feed, outbox: Outbox) -> LiveSession:
    model = model_of(start.model or service.default, service.registry)
    asked = granted(
        EngineOptions(
            task=start.task,
            prompt=start.prompt,
            phrases=phrases_of("phrases", start.phrases),
            numbers=start.numbers,
            redact=start.redact,
        ),
        model,
    )
    options = options_for(
        service,
        language_of(start.language, model),
        word_timestamps=start.word_timestamps,
        track=start.track,
        strict=start.strict,
    )
    options = asked.added(options)
    options = replace(options, pause_s=(start.pause_ms or service.settings.pause_ms) / 1000)
    return LiveSession(
        service.engine, start, options, model.id, feed, outbox, Event(), service.jail
    )


async def _read(
    messages: AsyncIterator[live_wire.Message | bytes],
    first: live_wire.Message | bytes,
    feed: Feed,
    left: Event,
) -> None:
    """Put the client's audio, and an error for a wrong message, into the feed."""
    try:
        message = first
        while not isinstance(message, live_wire.Finish):
            if isinstance(message, bytes):
                await feed.put(message)
            elif message is not first:
                raise InputError("request_invalid", "start comes first", "begin a new stream")
            message = await anext(messages)
        feed.finish()
        async for _ in messages:
            raise InputError("request_invalid", "finish comes last", "begin a new stream")
    except Exception as error:  # noqa: BLE001 - raised by the thread; the client gets it
        if isinstance(error, HostError) and error.code == "cancelled":
            left.set()
        feed.fail(error)


async def _watch_key(socket: AsrSocket, feed: Feed) -> None:
    """End the stream when its key is revoked or expires."""
    try:
        while True:
            recheck(socket.scope)
            await asyncio.sleep(RECHECK_S)
    except InputError as error:
        feed.fail(error)


async def _messages(socket: AsrSocket, idle_s: float) -> AsyncIterator[live_wire.Message | bytes]:
    """Receive the client's messages.

    Raises:
        InputError: `request_invalid`, a message is malformed, or none arrives in `idle_s`.
        HostError: `cancelled`, the client disconnected.
    """
    while True:
        try:
            async with asyncio.timeout(idle_s):
                event = cast("dict[str, Any]", await socket.receive())
        except TimeoutError:
            raise InputError(
                "request_invalid", f"no message arrived for {idle_s:g} s", "send audio, or finish"
            ) from None
        if event["type"] == "websocket.disconnect":
            raise _left()
        data, text = event.get("bytes"), event.get("text")
        if max(len(data or b""), len(text or "")) > MESSAGE_BYTES_MAX:
            raise InputError(
                "request_invalid",
                f"a message is longer than {MESSAGE_BYTES_MAX} bytes",
                "send a tenth of a second at a time",
            )
        yield live_wire.read(text) if text is not None else data or b""


async def _send(socket: AsrSocket, message: bytes, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            await socket.send_text(message.decode())
    except TimeoutError:
        raise HostError(
            "cancelled", "the client does not read its messages", "read them as they arrive"
        ) from None


def _left() -> HostError:
    return HostError("cancelled", "the client disconnected", "begin a new stream")
