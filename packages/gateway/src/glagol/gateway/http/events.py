"""Send events to open pages by WebSocket, or by server-sent events behind old proxies.

A page has one connection for everything. A browser opens at most six of HTTP/1.1 to one server, and
a stream of events would use one up in every tab; WebSockets are not counted among them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import WebSocket, get, websocket
from litestar.response import Stream

from glagol.core.errors import GlagolError
from glagol.gateway.http import views
from glagol.gateway.http.request import (
    GatewayRequest,
    folders_of,
    on_disk,
    person_of,
    readable,
    service_of,
)
from glagol.web import sse
from glagol.web.access.auth import RECHECK_S, recheck

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.connection import ASGIConnection

    from glagol.gateway.work.events import Page

__all__ = ["HANDLERS"]

KEEP_ALIVE_S: Final = 15.0
PAUSE_S: Final = 0.3
"""Between two messages: a page gets progress a few times a second at most."""

_REFUSED: Final = 4403
_GOING: Final = 1001


@websocket("/ui/events")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    """Events as text messages of JSON, until the page closes."""
    service = service_of(socket)
    with service.events.page() as page:
        await socket.accept()
        telling, leaving = (
            asyncio.create_task(_send(socket, page)),
            asyncio.create_task(_left(socket)),
        )
        await asyncio.wait([telling, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        telling.cancel()
        if telling.done() and not leaving.done():
            await asyncio.sleep(0)  # granian sends no close while a task waits for a message
            with suppress(Exception):
                await socket.close(*telling.result())


@get("/ui/events", include_in_schema=False)
async def stream(request: GatewayRequest) -> Stream:
    """The same as server-sent events.

    Raises:
        LimitError: `busy`, too many pages are open.
    """
    return sse.respond(_steps(request))


async def _left(socket: WebSocket[Any, Any, Any]) -> None:
    """Return when the page has left; what it says meanwhile means nothing."""
    with suppress(Exception):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


async def _send(socket: WebSocket[Any, Any, Any], page: Page) -> tuple[int, str]:
    """Tell the page what happens; code and reason of the close when that ends."""
    try:
        async for event in _events(socket, page):
            await socket.send_text(event.decode() if event else '{"type":"alive"}')
    except GlagolError as error:
        return _REFUSED, error.code
    return _GOING, ""


async def _steps(request: GatewayRequest) -> AsyncIterator[bytes]:
    with service_of(request).events.page() as page, suppress(GlagolError):
        async for event in _events(request, page):
            yield sse.event(event) if event else sse.comment("alive")


async def _events(request: ASGIConnection[Any, Any, Any, Any], page: Page) -> AsyncIterator[bytes]:
    """Events as JSON, an empty one as a sign of life; ends when the server does.

    Raises:
        InputError: `key_refused`, the person's key ended meanwhile.
    """
    loop = asyncio.get_running_loop()
    yield msgspec.json.encode({"type": "hello", "person": person_of(request)})
    quiet_s = loop.time()
    while not page.over:
        found: list[dict[str, Any]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(RECHECK_S):
                found = await page.next()
        recheck(request.scope)
        allowed = await folders_of(request) if found else []
        for event in found:
            shown = await _visible(request, event, allowed)
            if shown is not None:
                quiet_s = loop.time()
                yield msgspec.json.encode(shown)
        if loop.time() - quiet_s > KEEP_ALIVE_S:
            quiet_s = loop.time()
            yield b""
        if found:
            await asyncio.sleep(PAUSE_S)


async def _visible(
    request: ASGIConnection[Any, Any, Any, Any], event: dict[str, Any], allowed: list[int]
) -> dict[str, Any] | None:
    """The event as this person may know it; None where it is not for them."""
    if event["type"] not in {"recording", "edit"}:
        return event
    service = service_of(request)
    try:
        row = await on_disk(request, readable, service, event["id"], allowed)
        if event["type"] == "edit":
            return event
        return {**event, "recording": await on_disk(request, views.view, service, row)}
    except GlagolError:  # of a foreign folder, or gone
        return None


HANDLERS: Final = [socket, stream]
