"""A webhook receiver on a real socket with answers that the test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 30.0


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what will be answered: statuses in turn, then 204 for ever.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        answers: Pairs of status and headers; a status of 0 never answers.
        endless: Send a body without an end.
    """

    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    endless: bool = False
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    def wait(self, count: int) -> list[Received]:
        """Until `count` requests came."""
        until = time.monotonic() + PATIENCE_S
        while len(self.requests) < count:
            assert time.monotonic() < until, f"{len(self.requests)} of {count} came"
            time.sleep(0.01)
        return self.requests


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra = state.answers.pop(0) if state.answers else (204, {})
            state.requests.append(Received(self.path, headers, body))
            if status == 0:
                state.closing.wait(PATIENCE_S)
                return
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            if state.endless:
                self.send_header("connection", "close")
                self.end_headers()
                self.flood()
                return
            self.send_header("content-length", "0")
            self.end_headers()

        def flood(self) -> None:
            try:
                while not state.closing.is_set():
                    self.wfile.write(b"x" * 4096)
            except OSError:
                pass
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
