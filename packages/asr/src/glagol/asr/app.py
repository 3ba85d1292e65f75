"""The ASGI application: Litestar's routes inside one layer that sees every request.

The layer gives the request its id, adds the headers that every answer carries, and writes one log
line when it is over. It wraps Litestar from outside, so that an unknown path is treated alike.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from glagol.asr import catalogue, faults, journal, routes, transcriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from glagol.asr.intake import Service
    from glagol.asr.metrics import Metrics
    from glagol.asr.upload import Receive

    # the three types of ASGI, as the servers really call them
    Scope = dict[str, Any]
    Send = Callable[[Any], Awaitable[None]]
    Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Observed", "build"]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})
_HANDLERS: Final = [
    *routes.HANDLERS,
    catalogue.models,
    catalogue.model,
    transcriptions.transcriptions,
]


def build(service: Service) -> Observed:
    """The application around `service`."""
    app = Litestar(
        route_handlers=_HANDLERS,
        exception_handlers={Exception: faults.answer},
        openapi_config=OpenAPIConfig(
            title="Glagol asr-server",
            version="1",
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
        ),
        state=State({"service": service, "engine": service.engine}),
        request_max_body_size=None,  # the upload reader has the operator's own limit
        logging_config=None,
    )
    return Observed(cast("Asgi", app), service.metrics)


class Observed:
    """Request id, common headers, the log line and the metrics around an ASGI application."""

    def __init__(self, app: Asgi, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(dict(scope["headers"]).get(b"x-request-id", b""))
        note: dict[str, Any] = {"request_id": request_id}
        scope.setdefault("state", {})["note"] = note
        status = 0

        async def observed_send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*_HEADERS, (b"x-request-id", request_id.encode())]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        began = time.perf_counter()
        self._metrics.began()
        try:
            await self._app(scope, receive, observed_send)
        finally:
            route, total_s = _known(scope["path"]), round(time.perf_counter() - began, 3)
            self._metrics.ended(route, status, total_s, note)
            journal.write(
                "request",
                level=logging.DEBUG if scope["path"] in _QUIET else logging.INFO,
                method=scope["method"],
                path=route,
                status=status,
                total_s=total_s,
                **note,
            )


def _request_id(given: bytes) -> str:
    """The caller's id when it is a plain token, else a fresh one."""
    text = given.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else uuid.uuid4().hex


def _known(path: str) -> str:
    """A path as log and metrics may hold it: other people's typing can be anything."""
    if path.startswith(_MODEL):
        return f"{_MODEL}{{id}}"
    return path if path in _PATHS else "other"


_MODEL: Final = "/v1/models/"
_PATHS: Final = frozenset(
    {"/schema/openapi.json", *(path for handler in _HANDLERS for path in handler.paths)}
)
