"""An upstream in another process: its HTTP and its WebSockets, passed through as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import httpx

from glagol.core.errors import HostError
from glagol.gateway.routing import headers
from glagol.gateway.routing.relay import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from glagol.web.request_log import Receive, Scope, Send

__all__ = ["Remote"]

CONNECT_S: Final = 3.0
_PIECE: Final = 1 << 16
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Remote:
    """A service at an address; an ASGI application.

    Bodies go both ways in pieces of at most 64 KiB and are never gathered. When the client leaves,
    the upstream's connection is closed.

    Args:
        name: Of the service, for messages.
        url: `http://HOST:PORT`, with a path prefix if it has one.
        key: The gateway's key there; empty for none.
    """

    def __init__(self, name: str, url: str, key: str = "") -> None:
        self.name = name
        self._url = httpx.URL(url.rstrip("/"))
        self._key = key
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_S, pool=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            trust_env=False,  # an operator's web proxy is not for machines behind the gateway
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or WebSocket on.

        Raises:
            HostError: `upstream_unreachable`, before anything was answered; `cancelled`, the client
                left before that.
        """
        pairs = headers.asked(
            scope["headers"], key=self._key, caller=scope["state"].get("person", "")
        )
        if scope["type"] == "websocket":
            scheme = "wss" if self._url.scheme == "https" else "ws"
            address = str(self._address(scope).copy_with(scheme=scheme))
            await relay(address, pairs, scope, receive, send, self.name)
            return
        await self._pass(scope, pairs, receive, send)

    async def close(self) -> None:
        """Close the connections that wait for more."""
        await self._client.aclose()

    def _address(self, scope: Scope) -> httpx.URL:
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        raw = self._url.raw_path.rstrip(b"/") + path.partition(b"?")[0]
        return self._url.copy_with(raw_path=raw + (b"?" + query if query else b""))

    async def _pass(self, scope: Scope, pairs: headers.Pairs, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        content = None if scope["method"] in _BODILESS else body.pieces()
        request = self._client.build_request(
            scope["method"], self._address(scope), headers=pairs, content=content
        )
        begun = asyncio.Event()
        work = asyncio.create_task(self._exchange(request, send, begun))
        gone = asyncio.create_task(body.left())
        both: set[asyncio.Task[Any]] = {work, gone}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            elif not begun.is_set():
                raise HostError("cancelled", "the client left before the answer", "send it again")
        except httpx.HTTPError as error:
            if begun.is_set():
                raise  # the answer breaks off here, too
            raise _unreachable(self.name, error) from error
        finally:
            for task in both:
                task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work

    async def _exchange(self, request: httpx.Request, send: Send, begun: asyncio.Event) -> None:
        answer = await self._client.send(request, stream=True)
        try:
            begun.set()
            pairs = headers.answered(answer.headers.raw)
            start = {"type": "http.response.start", "status": answer.status_code, "headers": pairs}
            await send(start)
            async for piece in answer.aiter_raw(_PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()


class _Body:
    """The body of a request, and after it the sign that the client has left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = asyncio.Event()
        self._whole = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            httpx.WriteError: The client has left in the middle of it.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._gone.set()
                raise httpx.WriteError("the client has left")
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._whole.set()

    async def left(self) -> None:
        """Return when the client has left; a body is read before by `pieces` alone."""
        await asyncio.wait(
            [asyncio.create_task(self._gone.wait()), asyncio.create_task(self._whole.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        while not self._gone.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._gone.set()


def _unreachable(name: str, error: Exception) -> HostError:
    return HostError(
        "upstream_unreachable",
        f"the service {name} behind the gateway does not answer ({type(error).__name__})",
        "try again in a moment; the operator sees in /ready which service is away",
    )
