"""Forward a request to vLLM byte for byte, and its response back.

A streamed response is forwarded chunk by chunk. Any other response is buffered until it is
complete, so that a crash of vLLM gives a 503 and not half a JSON. When the client disconnects, the
connection to vLLM is closed, and vLLM stops generating.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import HostError, InputError
from glagol.llm.proxy.exchange import Address, exchange
from glagol.llm.vllm.client import unavailable
from glagol.web import errors, sse

if TYPE_CHECKING:
    from glagol.llm.proxy.connection import BodyWriter
    from glagol.web.request_log import Receive, Scope, Send

__all__ = ["ForwardedRequest"]

_NOT_FOUND, _SERVER_ERRORS = 404, 500
_NO_ROUTE: Final = b'{"detail":"Not Found"}'  # from vLLM's router, not in OpenAI's error format


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """One forwarded request, as an ASGI application that a handler returns.

    Attributes:
        address: Socket and key of vLLM.
        path: Path of the request, the same at vLLM.
        body: Body of the request.
        done: Called once, when the request has ended for any reason.
    """

    address: Address
    path: str
    body: bytes
    done: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, and the response.

        Raises:
            HostError: `llm_unavailable` or, if the client disconnected, `cancelled`; both only
                before the response began.
            InputError: `not_found`, the model does not serve this route.
        """
        answer = _Answer(send, scope)
        work = asyncio.create_task(self._pass(scope, answer))
        gone = asyncio.create_task(_disconnected(receive))
        either: set[asyncio.Task[None]] = {work, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return
            if not answer.begun:
                raise HostError(
                    "cancelled", "the client disconnected before the response", "send it again"
                )
            scope["state"]["note"]["code"] = "cancelled"
        finally:
            self.done()
            for task in either:
                task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work  # its connection to vLLM is closed when this returns

    async def _pass(self, scope: Scope, answer: _Answer) -> None:
        given = dict(scope["headers"]).get(b"content-type", b"application/json")
        kind = given.decode("latin-1")
        try:
            async with exchange(self.address, self.path, self.body, kind) as incoming:
                if incoming.kind.startswith("text/event-stream"):
                    await answer.start(incoming.status, {"content-type": incoming.kind})
                    await incoming.pour(answer.body_writer)
                    await answer.end()
                    return
                body = await incoming.whole()
        except HostError as error:
            await answer.fail(error)
            return
        if incoming.status == _NOT_FOUND and body == _NO_ROUTE:
            raise InputError(
                "not_found", f"this model does not serve {self.path}", "see GET /v1/models"
            )
        if incoming.status >= _SERVER_ERRORS:
            raise unavailable(f"it failed with status {incoming.status}")
        length = {"content-type": incoming.kind, "content-length": str(len(body))}
        await answer.start(incoming.status, length)
        await answer.end(body)


class _Answer:
    """The response to the client, with the state of what was sent."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self.body_writer: BodyWriter = scope["state"]["body_writer"]
        self.begun = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def end(self, body: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": body})

    async def fail(self, error: HostError) -> None:
        """Raise an error if the response has not begun; else send it as the last event."""
        if not self.begun:
            raise error
        note: dict[str, Any] = self._scope["state"]["note"]
        fault = errors.record(error, self._scope["path"], note)
        last = self.body_writer.last
        lead = b"" if last.endswith(b"\n\n") or not last else b"\n\n"
        await self.end(lead + sse.event(errors.openai_body(fault)))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
