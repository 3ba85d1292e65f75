"""One HTTP/1.1 request to vLLM over its Unix socket, and the answer as it comes.

A connection for each request: to connect costs a tenth of a millisecond, nothing can be stale, and
to close it is how vLLM learns that nobody waits. h11 speaks the protocol; a general client in its
place took half a millisecond of processor time for each chunk (`benchmarks/passthrough.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import h11

from glagol.llm.upstream import unavailable

__all__ = ["Address", "Incoming", "exchange"]

READ_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Address:
    """Where vLLM listens: the path of its socket, and the key that it was started with."""

    socket: str
    key: str


class Incoming:
    """An answer whose head has arrived.

    Attributes:
        status: Of the answer.
        kind: Its content type.
    """

    def __init__(self, reader: asyncio.StreamReader, protocol: h11.Connection) -> None:
        self._reader = reader
        self._protocol = protocol
        self.status = 0
        self.kind = "application/json"

    async def head(self) -> None:
        """Read status and headers.

        Raises:
            HostError: `llm_unavailable`, the connection broke.
        """
        while True:
            event = self._event()
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self.kind = dict(event.headers).get(b"content-type", b"").decode("latin-1")
                return
            if event is h11.NEED_DATA:
                await self._more()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they arrive, none of them empty.

        Raises:
            HostError: `llm_unavailable`, the connection broke before the end.
        """
        parts: list[bytes] = []
        while True:
            event = self._event()
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                continue
            if parts:
                yield b"".join(parts)
                parts.clear()
            if isinstance(event, h11.EndOfMessage):
                return
            if event is h11.NEED_DATA:
                await self._more()

    async def whole(self) -> bytes:
        """The body, when all of it has arrived.

        Raises:
            HostError: `llm_unavailable`, the connection broke before the end.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    def _event(self) -> object:
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError as error:
            raise unavailable("it left the connection") from error

    async def _more(self) -> None:
        try:
            self._protocol.receive_data(await self._reader.read(READ_BYTES))
        except OSError as error:
            raise unavailable(f"it left the connection ({type(error).__name__})") from error


@asynccontextmanager
async def exchange(address: Address, path: str, body: bytes, kind: str) -> AsyncIterator[Incoming]:
    """POST `body` to vLLM; leaving the block closes the connection.

    Args:
        address: Of vLLM.
        path: The route.
        body: Sent as it is.
        kind: Its content type.

    Raises:
        HostError: `llm_unavailable`, nobody listens, or the connection broke.
    """
    protocol = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST",
        target=path,
        headers=[
            ("Host", "vllm"),
            ("Authorization", f"Bearer {address.key}"),
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ],
    )
    try:
        reader, writer = await asyncio.open_unix_connection(address.socket)
    except OSError as error:
        raise unavailable(f"it does not listen ({type(error).__name__})") from error
    try:
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(protocol.send(part) or b"")
        try:
            await writer.drain()
        except OSError as error:
            raise unavailable(f"it left the connection ({type(error).__name__})") from error
        incoming = Incoming(reader, protocol)
        await incoming.head()
        yield incoming
    finally:
        writer.close()
