"""A client's connection: uvicorn's protocol with limits for heads and a direct path for bodies.

uvicorn parses requests with llhttp, as `exchange` parses vLLM's responses, but limits neither the
size of a head nor the time until it is complete; this class limits both. A body has no time limit.
While a client does not read, nothing is written to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from glagol.web.bind import CONNECTIONS_MAX

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["BodyWriter", "Bounds", "Connection"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a client.

    Attributes:
        connections: Concurrent connections; a further one gets 503.
        head_s: Seconds until a head is complete, from the connection or the previous response.
        head_bytes: Bytes of a head, and of all else that is not body.
        headers: Header fields of a request.
        pipelined: Requests that wait for the response to an earlier one.
    """

    connections: int = CONNECTIONS_MAX
    head_s: float = 30.0
    head_bytes: int = 1 << 16
    headers: int = 100
    pipelined: int = 8


class BodyWriter:
    """Write body chunks straight to the transport, bypassing ASGI's `send`.

    It is `scope["state"]["body_writer"]`, for a body without a length; the head before it and
    the end after it are sent as ASGI messages.

    Attributes:
        last: The last chunk.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self.last = b""

    def write(self, chunk: bytes) -> bool:
        """Write at least one byte, or drop it when the client has disconnected.

        Returns:
            Whether the client keeps up; if not, call `drain` before the next write.
        """
        self.last = chunk
        cycle = self._cycle
        if not cycle.disconnected:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return not cycle.flow.write_paused

    async def drain(self) -> None:
        """Wait until the client has read enough, or has disconnected."""
        await self._cycle.flow.drain()


class Connection(HttpToolsProtocol):
    """One connection, for as many requests as the client sends.

    Args:
        config: uvicorn's configuration, loaded.
        state: State of the server, shared by its connections.
        bounds: Limits of the client.
        left: Called when the connection is closed.
    """

    def __init__(
        self, config: Config, state: ServerState, bounds: Bounds, left: Callable[[], None]
    ) -> None:
        super().__init__(config, state, {})
        self._bounds = bounds
        self._left = left
        self._running: RequestResponseCycle | None = (
            None  # uvicorn's `cycle` is the request read last
        )
        self._deadline: asyncio.TimerHandle | None = None
        self._loose = 0  # bytes since the last piece of a body, or the end of a request
        self._in_head = True
        self._body_begun = False  # whether anything of the body has arrived
        self._fault = HTTPStatus.BAD_REQUEST

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio callback: start the timer for the request head."""
        super().connection_made(cast("asyncio.Transport", transport))
        if len(self.connections) > self._bounds.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._expect_head()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio callback: the connection is closed."""
        self._stop_waiting()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(error)
        self._left()

    def data_received(self, data: bytes) -> None:
        """asyncio callback for each read; limits the bytes that are not body.

        It replaces uvicorn's method, which drops the body of a request with an `Upgrade` offer;
        Java's client sends one with every request.
        """
        self._unset_keepalive_if_required()
        self._loose += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse(self._fault)
        if self._loose > self._bounds.head_bytes and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offered:
            version = self.parser.get_http_version().encode()
            line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
            kept = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._feed(b"".join([line, *kept, b"\r\n", data[offered.args[0] :]]))

    def on_message_begin(self) -> None:
        """Parser callback."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser callback; ignores trailer fields after the body."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Parser callback: the head is complete, and the request starts.

        After a head with an `Upgrade` offer the parser stops; it then reads the head again without
        the offer.
        """
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return
        self._check_head()
        self._stop_waiting()
        self._in_head = self._body_begun = False
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        waiting = len(self.pipeline)
        super().on_headers_complete()
        self.scope["state"]["body_writer"] = BodyWriter(self.cycle)
        if len(self.pipeline) > waiting:  # uvicorn stops reading, and would miss a disconnect
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._bounds.head_bytes or len(self.headers) > self._bounds.headers:
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _RefusedError
        if len(self.pipeline) >= self._bounds.pipelined or self.parser.should_upgrade():
            raise _RefusedError

    def on_body(self, body: bytes) -> None:
        """Parser callback."""
        self._loose, self._body_begun = 0, True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Parser callback."""
        if not self.parser.should_upgrade():
            self._loose = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn callback: the response was sent; start the timer for the next head.

        A client that waited for `100 Continue` and got the final response may or may not send its
        body. The next bytes would be ambiguous, so the connection is closed.
        """
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
            return
        if not self.cycle.response_complete:
            return  # the request read last waits or runs
        if self.cycle.more_body and self.expect_100_continue and not self._body_begun:
            self._close()
        else:
            self._expect_head()

    def _expect_head(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._bounds.head_s, self._late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if self._loose:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._close()

    def timeout_keep_alive_handler(self) -> None:
        """Called by uvicorn's keep-alive timer, which has the same length as ours."""
        self._close()

    def shutdown(self) -> None:
        """Accept no further requests; finish those in flight."""
        super().shutdown()
        if self.transport.is_closing():
            self._close()

    def _close(self) -> None:
        """Close after the write buffer drains; abort if the client reads nothing for `head_s`."""
        self.transport.close()
        self._stop_waiting()
        left = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(self._bounds.head_s, self._abort_if_stuck, left)

    def _abort_if_stuck(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._close()
        else:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """Send an error and close the connection; during another response, abort it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
        else:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            head += "content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode())
            self._close()


class _RefusedError(Exception):
    """Stops the parser."""
