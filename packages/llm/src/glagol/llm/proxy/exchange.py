"""Send one HTTP/1.1 request to vLLM over its Unix socket, and stream the answer.

Each request has its own connection: connecting costs 0.1 ms, no connection can be stale, and
closing it tells vLLM that the client left. The bytes that asyncio reads go straight into llhttp,
since each layer costs time when a lone stream runs with cold caches (docs/adr/0016).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from glagol.core.errors import HostError, InputError
from glagol.llm.vllm.client import unavailable

if TYPE_CHECKING:
    from glagol.llm.proxy.connection import BodyWriter

__all__ = ["Address", "Incoming", "exchange"]

_HEAD: Final = (
    "POST %s HTTP/1.1\r\nHost: vllm\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n"
    "Content-Length: %d\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where vLLM listens: the path of its socket, and the key that it was started with."""

    socket: str
    key: str


class Incoming(asyncio.Protocol):
    """An answer as it arrives: asyncio passes bytes in, the parser calls back.

    Bytes that arrive while the caller is busy are kept, at most two reads; then reading stops.

    Attributes:
        status: Of the answer; 0 until its head has arrived.
        kind: Its content type.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.on_body = self._parts.append  # by the parser, which looks for it when it is made
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._over = False
        self._body_writer: BodyWriter | None = None
        self._broken: HostError | None = None
        self.status = 0
        self.kind = ""

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            HostError: `llm_unavailable`, the connection broke.
        """
        while not self.status:
            await self._more()

    async def read(self) -> bytes:
        """The next part of the body, at least one byte; empty at its end.

        Raises:
            HostError: `llm_unavailable`, the connection broke before the end.
        """
        while not self._parts:
            if self._over:
                return b""
            await self._more()
        chunk = b"".join(self._parts)
        self._parts.clear()
        return chunk

    async def pour(self, body_writer: BodyWriter) -> None:
        """Forward the body as it arrives, within the same turn of the event loop.

        Args:
            body_writer: Where to; while it does not keep up, nothing is read.

        Raises:
            HostError: `llm_unavailable`, the connection broke before the end.
        """
        self._body_writer = body_writer
        while self._parts or not self._over:
            if not self._parts:
                await self._more()
            self._sent(body_writer)
            await body_writer.drain()

    async def whole(self) -> bytes:
        """The body, when all of it has arrived.

        Raises:
            HostError: `llm_unavailable`, the connection broke before the end.
        """
        parts = []
        while chunk := await self.read():
            parts.append(chunk)
        return b"".join(parts)

    def _sent(self, body_writer: BodyWriter) -> bool:
        """Forward what has arrived; returns whether the client keeps up."""
        if not self._parts:
            return True
        chunk = b"".join(self._parts)
        self._parts.clear()
        return body_writer.write(chunk)

    async def _more(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio callback: the connection is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """asyncio callback for each read."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._broken = unavailable(f"it does not speak HTTP ({error})")
        keeps_up = self._waiter is not None
        if keeps_up and self._body_writer is not None:
            keeps_up = self._sent(self._body_writer)
            if keeps_up and not self._over and self._broken is None:
                return  # the waiting coroutine has nothing to do
        if not keeps_up and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio callback: the connection is closed."""
        if self._broken is None:
            why = f" ({type(error).__name__})" if error else ""
            self._broken = unavailable(f"it left the connection{why}")
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """By the parser."""
        if name.lower() == b"content-type":
            self.kind = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """By the parser."""
        self.status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """By the parser."""
        self._over = True


@asynccontextmanager
async def exchange(address: Address, path: str, body: bytes, kind: str) -> AsyncIterator[Incoming]:
    """POST `body` to vLLM; leaving the block closes the connection.

    Args:
        address: Of vLLM.
        path: The route.
        body: Sent as it is.
        kind: Its content type.

    Raises:
        HostError: `llm_unavailable`, the connection was refused or broke.
        InputError: `request_invalid`, a line break in `path` or `kind`.
    """
    if {"\r", "\n"} & {*path, *kind}:  # no server lets them in, and here they would make headers
        raise InputError("request_invalid", "a line break in the content type", "leave it out")
    head = _HEAD % (path, address.key, kind, len(body))
    loop = asyncio.get_running_loop()
    try:
        transport, incoming = await loop.create_unix_connection(Incoming, address.socket)
    except OSError as error:
        raise unavailable(f"it does not listen ({type(error).__name__})") from error
    try:
        transport.writelines([head.encode("latin-1"), body])
        await incoming.head()
        yield incoming
    finally:
        transport.close()
