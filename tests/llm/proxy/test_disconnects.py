"""Disconnects, clients that stop reading, shutdown: no work for absent clients, no endless wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from glagol.llm.proxy.connection import Bounds
from llm.served import GET, SOON_S, TIGHT, dial, echo, listening, received, until

LARGE = 1 << 24


async def large(scope: Any, receive: Any, send: Any) -> None:
    """An answer that no buffer of the system's holds."""
    headers = [(b"content-length", b"%d" % LARGE)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(LARGE)})


def test_a_disconnect_reaches_the_application() -> None:
    """It gets http.disconnect immediately, before and in the middle of an answer."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            scope["state"]["body_writer"].write(b"x")
        await receive()
        events.append("asked")
        events.append((await receive())["type"])

    with listening(app) as served:
        for path in (b"/begun", b"/"):
            with dial(served) as client:
                client.sendall(b"GET %b HTTP/1.1\r\n\r\n" % path)
                until(lambda: bool(events))
                time.sleep(0.1)  # for a message that must not come
                assert events == ["asked"]
            until(lambda: events == ["asked", "http.disconnect"])
            events.clear()


@pytest.mark.parametrize("queued", [1, 2, 3])
@pytest.mark.parametrize("apart", [False, True])
def test_a_disconnect_with_queued_requests_reaches_the_application(
    queued: int, *, apart: bool
) -> None:
    """The request in flight gets it, though others are queued behind it; a third is refused."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        events.append(scope["path"])
        events.append((await receive())["type"])

    with listening(app, Bounds(pipelined=2)) as served, dial(served) as client:
        pieces = [b"GET /first HTTP/1.1\r\n\r\n", *[GET + b"\r\n"] * queued]
        for piece in pieces if apart else [b"".join(pieces)]:
            client.sendall(piece)
            time.sleep(0.05)
        if queued <= 2:
            until(lambda: events == ["/first"])
            client.close()
        until(lambda: events == ["/first", "http.disconnect"])


def test_a_queued_request_may_wait_before_sending_too() -> None:
    """Its body is asked for when its turn comes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.3)
        await echo(scope, receive, send)

    with listening(app) as served, dial(served) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        time.sleep(0.05)
        client.sendall(b"POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert received(client, b"100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        client.sendall(b"ab")
        assert received(client, b"ab").startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("last", [b"", b"connection: close\r\n"])
def test_an_unread_answer_is_aborted(last: bytes) -> None:
    """Its connection is free for others in the end, and the server can stop."""
    with listening(large, TIGHT) as served, dial(served) as client:
        client.sendall(GET + last + b"\r\n")
        until(lambda: bool(served.listener._connections))
        until(lambda: not served.listener._connections)
        assert len(received(client)) < LARGE


def test_an_answer_may_be_read_slowly() -> None:
    """As long as something of it is read, it comes whole."""
    with listening(large, TIGHT) as served, dial(served) as client:
        client.sendall(GET + b"connection: close\r\n\r\n")
        count = 0
        while data := client.recv(LARGE // 64):
            count += len(data)
            time.sleep(SOON_S / 16)
        assert count > LARGE


def test_an_orderly_end() -> None:
    """Stopped, it closes what idles, takes nothing new, and lets an answer under way come whole."""
    go = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        await go.wait()
        await echo(scope, receive, send)

    with listening(app) as served, dial(served) as idle, dial(served) as busy:
        busy.sendall(GET + b"\r\n")
        until(lambda: bool(loops))
        served.stop()
        assert received(idle) == b""
        with pytest.raises(OSError, match="refused"):
            dial(served)
        assert served.thread.is_alive()
        loops[0].call_soon_threadsafe(go.set)
        answer = received(busy)
        assert b"connection: close" in answer
        assert answer.endswith(b"GET host 127.0.0.1\n")
        served.thread.join(20)
        assert not served.thread.is_alive()


def test_an_end_that_does_not_wait() -> None:
    """Cut off, requests under way learn that their clients are gone, and can clean up."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        events.append("asked")
        events.append((await receive())["type"])

    with listening(app) as served, dial(served) as client:
        client.sendall(GET + b"\r\n")
        until(lambda: events == ["asked"])
        served.cut()
        assert received(client) == b""
        served.thread.join(20)
        assert events == ["asked", "http.disconnect"]
