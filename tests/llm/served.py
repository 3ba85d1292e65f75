"""An application behind the server's own listener and a real socket, in a thread of the tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvloop

from glagol.llm.proxy.connection import Bounds
from glagol.llm.proxy.listener import Listener
from glagol.llm.summarize.routes import SummaryService
from glagol.web.bind import bound
from llm.summarize.test_summaries import application

SOON_S = 0.4
TIGHT = Bounds(connections=3, head_s=SOON_S, pipelined=2)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


@dataclass
class Served:
    """Its port, and how it is ended."""

    port: int
    loop: asyncio.AbstractEventLoop
    listener: Listener
    task: asyncio.Task[None]
    thread: threading.Thread

    def stop(self) -> None:
        """Ask it to end; does not wait."""
        self.loop.call_soon_threadsafe(self.listener.stop)

    def cut(self) -> None:
        """Stop it without waiting for its clients."""
        self.loop.call_soon_threadsafe(self.task.cancel)


@contextmanager
def listening(app: Any, bounds: Bounds | None = None) -> Iterator[Served]:
    """`app` on a free port; at the end what is under way is cut off."""
    made: list[Served] = []
    ready = threading.Event()

    async def serve() -> None:
        listener = Listener(app, address, bounds or Bounds())
        task = asyncio.create_task(listener.serve())
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        made.append(Served(address.getsockname()[1], loop, listener, task, thread))
        ready.set()
        await asyncio.wait([task])

    with bound("127.0.0.1", 0, "LLM_") as address:
        thread = threading.Thread(target=lambda: uvloop.run(serve()))
        thread.start()
        assert ready.wait(20)
        try:
            yield made[0]
        finally:
            if thread.is_alive():
                made[0].cut()
            thread.join(20)
            assert not thread.is_alive()


@contextmanager
def summarising(service: SummaryService) -> Iterator[str]:
    """The address of `/v1/summarize` alone."""
    with listening(application(service)) as served:
        yield f"http://127.0.0.1:{served.port}"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Method, header names and client on one line, then the body; nothing of it on `/deaf`."""
    names = b",".join(name for name, _ in scope["headers"])
    body = b"%b %b %b\n" % (scope["method"].encode(), names, scope["client"][0].encode())
    while scope["path"] != "/deaf" and (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def dial(served: Served) -> socket.socket:
    """A connection."""
    client = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def received(client: socket.socket, until: bytes = b"") -> bytes:
    """What comes until these bytes, or until the connection is closed."""
    found = bytearray()
    with suppress(ConnectionResetError):
        while not until or until not in found[-len(until) - (1 << 16) :]:
            if not (data := client.recv(1 << 16)):
                break
            found += data
    return bytes(found)


def until(what: Callable[[], bool]) -> None:
    """Wait for something to be true."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < 20
        time.sleep(0.01)
