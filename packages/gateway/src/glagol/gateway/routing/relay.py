"""A WebSocket passed through to an upstream, message by message."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from glagol.gateway.routing.headers import Pairs
    from glagol.web.request_log import Receive, Scope, Send

__all__ = ["relay"]

_MESSAGE_MAX: Final = 1 << 20
_QUEUED: Final = 4
_CONNECT_S: Final = 3.0


async def relay(
    address: str, pairs: Pairs, scope: Scope, receive: Receive, send: Send, name: str
) -> None:
    """Open the upstream's WebSocket, accept the client's, and pass messages on both ways.

    At most four messages of at most 1 MiB wait in each direction; then the sender waits.

    Args:
        address: `ws://...` of the upstream.
        pairs: Headers for it.
        scope: Of the client's WebSocket, which is not accepted yet.
        receive: From the client.
        send: To the client.
        name: Of the service, for messages.

    Raises:
        HostError: `upstream_unreachable`, before the client's was accepted.
    """
    wanted = [each for each in scope.get("subprotocols", []) if not each.startswith("glagol.key.")]
    try:
        upstream = await connect(
            address,
            additional_headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in pairs],
            subprotocols=wanted or None,
            max_size=_MESSAGE_MAX,
            max_queue=_QUEUED,
            open_timeout=_CONNECT_S,
            compression=None,
            proxy=None,
        )
    except InvalidStatus as error:
        await _refuse(send, error)
        return
    except (OSError, WebSocketException) as error:
        raise HostError(
            "upstream_unreachable",
            f"the service {name} behind the gateway takes no stream ({type(error).__name__})",
            "try again in a moment; the operator sees in /ready which service is away",
        ) from error
    await receive()  # websocket.connect
    await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol})
    outward = asyncio.create_task(_outward(upstream, receive))
    homeward = asyncio.create_task(_homeward(upstream, send))
    try:
        await asyncio.wait([outward, homeward], return_when=asyncio.FIRST_COMPLETED)
        if not outward.done():  # granian sends no close while a task waits for a message
            outward.cancel()
            await asyncio.sleep(0)
            await send(_close(upstream))
    finally:
        outward.cancel()
        homeward.cancel()
        await upstream.close()


async def _outward(upstream: ClientConnection, receive: Receive) -> None:
    """From the client to the upstream, until the client closes."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(_code(message.get("code", 1000)))
            return
        data = message.get("bytes")
        with suppress(ConnectionClosed):
            await upstream.send(message["text"] if data is None else data)


async def _homeward(upstream: ClientConnection, send: Send) -> None:
    """From the upstream to the client, until the upstream closes."""
    with suppress(ConnectionClosed):
        async for data in upstream:
            kind = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", kind: data})


def _close(upstream: ClientConnection) -> dict[str, Any]:
    """The upstream's close, for the client."""
    code = _code(upstream.close_code or 1011)
    return {"type": "websocket.close", "code": code, "reason": upstream.close_reason or ""}


async def _refuse(send: Send, error: InvalidStatus) -> None:
    """Give the upstream's refusal of the handshake to the client."""
    response = error.response
    pairs = [(b"content-type", response.headers.get("content-type", "text/plain").encode())]
    start = {"type": "websocket.http.response.start", "status": response.status_code}
    await send({**start, "headers": pairs})
    await send({"type": "websocket.http.response.body", "body": response.body or b""})


def _code(code: int) -> int:
    """A close code that may be sent; 1005 and 1006 only say that there was none."""
    return code if code not in {1005, 1006, 1015} else 1000
