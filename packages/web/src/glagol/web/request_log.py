"""Outermost ASGI layer: request ids, common headers, one log line per request.

It wraps the framework, so that unknown paths are treated in the same way. A caller may choose the
request id, and use one twice; `call`, in the log and in the audit log, is always the server's own
unique id.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core import journal
from glagol.web.tracing import Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from glagol.web.tracing import Traces

    # the three types of ASGI, as the servers really call them
    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Observed", "Watcher"]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)  # a route that needs another one sets its own, as the page of the documentation does
_STARTS: Final = frozenset({"http.response.start", "websocket.accept"})
_SWITCHING_PROTOCOLS: Final = 101
_FORBIDDEN: Final = 403
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})


class Watcher(Protocol):
    """Counter of requests, such as the metrics."""

    def began(self) -> None:
        """A request is being served."""

    def ended(self, route: str, status: int, total_s: float, note: Mapping[str, Any]) -> None:
        """A request is over: its path as the routes know it, its status (0 for none), its note."""


class Observed:
    """Request id, common headers, the log line and the metrics around an ASGI application.

    Args:
        app: The application.
        watcher: Counts requests.
        routes: Path templates such as `/v1/models/{id}`. Log and metrics name a request by its
            template, or "other", since an unknown path may hold any text.
        traces: Where spans go; None while traces are off.
    """

    def __init__(
        self,
        app: Asgi,
        watcher: Watcher,
        routes: Collection[str],
        traces: Traces | None = None,
    ) -> None:
        self._app = app
        self._watcher = watcher
        self._traces = traces
        self._routes = frozenset(route for route in routes if "{" not in route)
        self._templates = tuple(
            (_pattern(route), _plain(route)) for route in sorted(routes) if "{" in route
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket; other scopes pass through."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        call = uuid.uuid4().hex
        request_id = _request_id(headers.get(b"x-request-id", b""), call)
        note: dict[str, Any] = {"request_id": request_id, "call": call}
        timeline = Timeline()
        scope.setdefault("state", {}).update(note=note, timeline=timeline)
        trace = None
        if self._traces is not None and scope["path"] not in _QUIET:
            trace = self._traces.begin(headers)
            note["traceparent"] = trace.traceparent
        method, status = scope.get("method", "WEBSOCKET"), 0

        async def observed_send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = message.get("status", _SWITCHING_PROTOCOLS)
                own = message.get("headers", ())
                given = {name.lower() for name, _ in own}
                extra = [(name, value) for name, value in _HEADERS if name not in given]
                extra.append((b"x-request-id", request_id.encode()))
                message["headers"] = [*own, *extra]
            elif message["type"] == "websocket.close":
                status = status or _FORBIDDEN  # what a server answers to one that is not accepted
                note["close"] = message.get("code", 1000)
            await send(message)

        began = time.perf_counter()
        self._watcher.began()
        try:
            await self._app(scope, receive, observed_send)
        finally:
            route, total_s = self._known(scope["path"]), round(time.perf_counter() - began, 3)
            self._watcher.ended(route, status, total_s, note)
            if trace is not None:
                trace.end(method, route, status, note, timeline)
            journal.write(
                "request",
                level=logging.DEBUG if scope["path"] in _QUIET else logging.INFO,
                method=method,
                path=route,
                status=status,
                total_s=total_s,
                **note,
            )

    def _known(self, path: str) -> str:
        if path in self._routes:
            return path
        found = (name for pattern, name in self._templates if pattern.fullmatch(path))
        return next(found, "other")


def _request_id(given: bytes, call: str) -> str:
    """The caller's id when it is a plain token, else ours."""
    text = given.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else call


def _plain(route: str) -> str:
    """`/v1/models/{id:str}` as `/v1/models/{id}`."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", route)


def _pattern(route: str) -> re.Pattern[str]:
    """What the paths of a template look like; a parameter of type `path` holds slashes."""
    parts = re.split(r"(\{[^}]*\})", route)
    return re.compile(
        "".join(
            re.escape(part) if not part.startswith("{") else ".+" if ":path" in part else "[^/]+"
            for part in parts
        )
    )
