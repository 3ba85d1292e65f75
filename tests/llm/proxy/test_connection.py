"""What a client may cost: heads, time, connections, memory; and what is done for it all the same.

A real socket against the real listener; the applications behind it are small.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from glagol.llm.proxy.connection import Bounds
from llm.served import GET, SOON_S, TIGHT, Served, dial, echo, listening, received

PATIENCE_S = 20
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def asked(served: Served, *pieces: bytes) -> bytes:
    """Everything that comes back for these pieces, each sent alone, until the end."""
    with dial(served) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.02)
        return received(client)


@pytest.mark.parametrize(
    "pieces",
    [
        [GET + b"x: " + b"y" * (1 << 16) + b"\r\n\r\n"],
        [GET + b"x: ", *[b"y" * (1 << 13)] * 9],
        [b"GET /", *[b"y" * (1 << 13)] * 9],
        [b"\r\n" * (1 << 15), b"\r\n"],
        [GET + b"".join(b"x%d: y\r\n" % n for n in range(100)) + b"\r\n"],
    ],
    ids=["at once", "in pieces", "address", "empty lines", "many"],
)
def test_a_head_has_a_size(pieces: list[bytes]) -> None:
    """More than 64 KiB or 100 fields is 431, whether or not an end ever comes; no request runs."""
    with listening(echo, Bounds(head_s=20)) as served:
        answer = asked(served, *pieces)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"GET" not in answer


def test_a_head_below_the_bounds_is_served() -> None:
    """100 fields of together nearly 64 KiB, in pieces."""
    head = GET + b"".join(b"x%d: %b\r\n" % (n, b"y" * 640) for n in range(98))
    head += b"connection: close\r\n\r\n"
    with listening(echo, Bounds(head_s=20)) as served:
        answer = asked(served, head[:9000], head[9000:30000], head[30000:])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert b"GET host,x0,x1," in answer


@pytest.mark.parametrize(
    ("piece", "more", "status"),
    [
        (b"", b"", b""),
        (b"\r\n", b"\r\n", b"408"),
        (b"GE", b"", b"408"),
        (GET + b"x: y", b"y", b"408"),
    ],
)
@pytest.mark.parametrize("before", [b"", GET + b"\r\n"])
def test_a_head_has_its_time(before: bytes, piece: bytes, more: bytes, status: bytes) -> None:
    """On a new connection and on a kept one; drop by drop it gets no more; silence ends so.

    The drops continue until an answer comes: were each one to give a head more time, none ever
    would.
    """
    with listening(echo, TIGHT) as served:
        began = time.monotonic()  # before the server's clock can start, however busy the machine is
        with dial(served) as client:
            if before:
                client.sendall(before)
                received(client, b"127.0.0.1\n")
            with suppress(BrokenPipeError, ConnectionResetError):
                while not select.select([client], [], [], SOON_S / 5)[0]:
                    assert time.monotonic() - began < PATIENCE_S
                    client.sendall(piece)
                    piece = more
            answer = received(client)
        assert time.monotonic() - began >= SOON_S * 0.9
    assert answer[9:12] == status


def test_a_body_may_be_slow() -> None:
    """Its time has no bound, as it had none before, and neither has the next head's lost any."""
    with listening(echo, TIGHT) as served, dial(served) as client:
        for _ in range(2):
            client.sendall(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n")
            for letter in b"slow":
                time.sleep(SOON_S / 2)
                client.sendall(bytes([letter]))
            assert received(client, b"slow").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("junk", [b"x: y\r\n", b"0" * 64])
def test_what_is_no_body_has_a_size_too(junk: bytes) -> None:
    """Fields after a body, and the digits of a chunk's size, are not collected without end."""
    start = CHUNKED + b"2\r\nab\r\n" + (b"0\r\n" if junk[:1] == b"x" else b"")
    with listening(echo) as served:
        assert b"200 OK" not in asked(served, start, *[junk * 256] * 60)


def test_fields_after_a_body_are_not_the_requests() -> None:
    """A layer that checks the head of a request sees all that the application will see of it."""
    with listening(echo) as served, dial(served) as client:
        client.sendall(CHUNKED + b"2\r\nab\r\n0\r\nauthorization: Bearer x\r\n\r\n")
        assert received(client, b"ab").endswith(b"POST host,transfer-encoding 127.0.0.1\nab")


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        CHUNKED.replace(b"host: x", b"content-length: 3") + b"0\r\n\r\n",
        GET + b"x : y\r\n\r\n",
        GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_not_http(request_: bytes) -> None:
    """Refused, and above all what two servers could read in two ways."""
    with listening(echo) as served:
        answer = asked(served, request_)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"200 OK" not in answer


def test_connections_are_counted() -> None:
    """One too many gets 503; when another leaves there is room again."""
    with listening(echo, Bounds(connections=3)) as served:
        kept = [dial(served) for _ in range(3)]
        time.sleep(0.1)
        assert asked(served).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        kept.pop().close()
        time.sleep(0.1)
        assert b"200 OK" in asked(served, GET + b"connection: close\r\n\r\n")
        for client in kept:
            client.close()


def test_requests_in_a_row() -> None:
    """Sent at once they are answered in order; too many at once end the connection."""
    with listening(echo, TIGHT) as served:
        with dial(served) as client:
            client.sendall(b"".join(GET + b"x%d: y\r\n\r\n" % n for n in range(3)))
            answers = received(client, b"x2 127.0.0.1\n")
            assert answers.count(b"200 OK") == 3
            assert answers.index(b"x0") < answers.index(b"x1") < answers.index(b"x2")
        answers = asked(served, (GET + b"\r\n") * 1000)
        assert answers.count(b"200 OK") <= 3


def test_forwarding_headers_do_not_change_the_peer() -> None:
    """What a client says of itself does not make it another one."""
    with listening(echo) as served:
        answer = asked(served, GET + b"x-forwarded-for: 9.9.9.9\r\nconnection: close\r\n\r\n")
    assert answer.endswith(b" 127.0.0.1\n")


def test_another_protocol_is_not_taken_up() -> None:
    """Requests that offer one, as Java's client does, are answered in this, bodies and all."""
    asks = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"
    body = b"content-length: 2\r\n\r\nok"
    with listening(echo) as served, dial(served) as client:
        for asked_for in (asks, asks.replace(b"h2c", b"websocket"), b""):
            client.sendall(GET + asked_for + b"\r\n")
            assert b"GET host" in received(client, b"127.0.0.1\n")
            for cut in (20, 70, 160):
                whole = b"POST / HTTP/1.1\r\nhost: x\r\n" + asked_for + body
                client.sendall(whole[:cut])
                time.sleep(0.02)
                client.sendall(whole[cut:])
                assert received(client, b"\nok").startswith(b"HTTP/1.1 200 OK")
        client.sendall(CHUNKED[:-2] + asks + b"\r\n2\r\nok\r\n0\r\n\r\n" + GET + b"\r\n")
        assert b"\nok" in received(client, b"GET host 127.0.0.1\n")


def test_expect_100_continue() -> None:
    """100 Continue when the body is read; an answer instead of it ends the connection."""
    asks = b"POST %b HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    with listening(echo) as served:
        with dial(served) as client:
            client.sendall(asks % b"/")
            assert received(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"ab")
            assert received(client, b"ab").startswith(b"HTTP/1.1 200 OK")
        answer = asked(served, asks % b"/deaf", GET + b"x: y\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.count(b"200 OK") == 1


def test_draining_a_refused_body_is_bounded() -> None:
    """An answer that came before the body's end: what still comes is dropped, and only so long."""
    with listening(echo, TIGHT) as served, dial(served) as client:
        client.sendall(CHUNKED.replace(b"POST /", b"POST /deaf"))
        assert received(client, b"127.0.0.1\n").startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionError):
            send_on(client, b"1000\r\n%b\r\n" % (b"x" * 4096))


def send_on(client: socket.socket, piece: bytes) -> None:
    """Send a piece again and again for 20 s."""
    began = time.monotonic()
    while time.monotonic() - began < 20:
        client.sendall(piece)
        time.sleep(0.01)


def test_a_body_that_is_not_read_is_held_back() -> None:
    """While an application does not read, no more than a little of the body is taken."""
    release = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        await release.wait()
        more, count = True, 0
        while more:
            message = await receive()
            more, count = message["more_body"], count + len(message["body"])
        headers = [(b"x-count", b"%d" % count)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    size, piece = 64 << 20, b"x" * (1 << 16)
    with listening(app) as served, dial(served) as client:
        client.sendall(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size)
        client.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < size:
                sent += client.send(piece)
        assert sent < size / 4
        loops[0].call_soon_threadsafe(release.set)
        client.settimeout(20)
        while sent < size:
            sent += client.send(piece[: size - sent])
        assert b"x-count: %d\r\n" % size in received(client, b"\r\n\r\n")


@pytest.mark.parametrize("body_writer", [True, False])
def test_a_client_that_does_not_read_holds_the_answer_back(*, body_writer: bool) -> None:
    """What waits in memory has a bound; when the client reads on, all of it comes."""
    written = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        piece, out = b"x" * (1 << 16), scope["state"]["body_writer"]
        for _ in range(1024):
            if not body_writer:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif not out.write(piece):
                await out.drain()
            written += 1
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    with listening(app) as served, dial(served) as client:
        client.sendall(GET + b"\r\n")
        time.sleep(0.5)
        first = written
        time.sleep(0.3)
        assert 0 < first == written < 1024 / 4
        assert received(client, b"\r\n0\r\n\r\n").count(b"x") == 1024 << 16
