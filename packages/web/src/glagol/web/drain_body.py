"""Read the rest of a short rejected body, so that the client receives the error, not a reset.

A connection that is closed with unread bytes in it is reset, and a client that was busy sending
sees the reset instead of the response (RFC 9112, section 9.6). A body with a short Content-Length
is therefore read to its end and dropped before an error is sent. Other bodies are not: their client
should wait for `100 Continue`, and receives the error instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["BodyDrain"]

BYTES_MAX: Final = 1 << 20
PATIENCE_S: Final = 1.0
_ERRORS: Final = 400


class BodyDrain:
    """ASGI layer that drains the body of a rejected request, within limits.

    Args:
        app: The application, with the layers that may refuse a request.
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, dict(scope["headers"]))

        async def patient_send(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] >= _ERRORS:
                await body.drain()
            await send(message)

        await self._app(scope, body.receive, patient_send)


class _Body:
    """The `receive` of a request; records whether a short body has an unread rest."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self._receive = receive
        length = headers.get(b"content-length", b"")
        announced = int(length[:18]) if length.isdigit() else 0
        self._over = not 0 < announced <= BYTES_MAX or b"expect" in headers

    async def receive(self) -> Any:
        """The next message, as the application asks for it."""
        message = await self._receive()
        self._over = self._over or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read and drop the rest of a short body, for at most `PATIENCE_S` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self._over:
                    await self.receive()
