"""The ASGI application of the gateway: pages, their routes, and the ways to the services behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from glagol.core.errors import GlagolError
from glagol.gateway.access.gate import Gate
from glagol.gateway.http import (
    events,
    exports,
    general,
    operator,
    recordings,
    session,
    sound,
    texts,
    uploads,
)
from glagol.gateway.http.answers import BODY_MAX
from glagol.gateway.pages import routes as pages
from glagol.gateway.pages import screens
from glagol.gateway.routing.table import upstream_of
from glagol.web import app, errors
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.refusal import refuse
from glagol.web.app import OPEN, Application
from glagol.web.serve import Operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.service import Service
    from glagol.web.access.host_check import Rules
    from glagol.web.metrics import RequestMetrics
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["build", "owns"]

RETRY_S: Final = 3
_HANDLERS: Final = [
    *general.HANDLERS,
    *recordings.HANDLERS,
    *texts.HANDLERS,
    *uploads.HANDLERS,
    *sound.HANDLERS,
    *exports.HANDLERS,
    *events.HANDLERS,
    *session.HANDLERS,
    *pages.HANDLERS,
    *screens.HANDLERS,
]
_FIRST: Final = frozenset(path.split("/")[1] for each in _HANDLERS for path in each.paths)
_OPEN: Final = (OPEN - {"/"}) | session.PATHS | pages.OPEN
_BELOW: Final = ("/assets/",)


def owns(path: str) -> bool:
    """Whether a path is a page's or one of those that pages ask for."""
    return path.startswith("/") and path.split("/", 2)[1] in _FIRST


def build(
    service: Service,
    remotes: Mapping[str, Asgi],
    metrics: RequestMetrics,
    outer: Operator,
    rules: Rules,
    bodies: BodyRate,
    *,
    alone: bool,
) -> Asgi:
    """The whole application.

    Args:
        service: What the handlers share.
        remotes: The services behind it, by name.
        metrics: Counts requests.
        outer: Limits and traces; keys are those of the service's door.
        rules: Hosts and pages that are answered.
        bodies: How slowly a body may come.
        alone: Whether it is a server of its own, which orchestrators ask.
    """
    about = Application(
        title="Glagol gateway-server",
        handlers=[*_HANDLERS, *(operator.HANDLERS if alone else ())],
        scopes=(("/v1/chat/", "llm"), ("/v1/", "transcribe"), ("/", "jobs")),
        openai=("/v1/audio/", "/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/models"),
        needs="the scope jobs",
        body_bytes_max=BODY_MAX,
        open=_OPEN,
        open_below=_BELOW,
        inside=lambda routes, speaker: _Ways(routes, remotes, speaker),
    )
    own = Operator(service.door.ring, outer.policy, outer.traces, service.sessions.signed)
    state = {"service": service, "metrics": metrics}
    inner = app.build(about, state, metrics, _retry_after_s, own, rules, bodies)
    speaker = errors.Speaker(about.openai, _retry_after_s)
    return Gate(inner, service.door, service.sessions, _OPEN, _BELOW, speaker)


class _Ways:
    """Gives each request to the service that answers its path; errors have their own shape.

    Args:
        routes: The gateway's own.
        remotes: The services behind it, by name.
        speaker: The shape of errors by path.
    """

    def __init__(self, routes: Asgi, remotes: Mapping[str, Asgi], speaker: errors.Speaker) -> None:
        self._routes = routes
        self._remotes = remotes
        self._speaker = speaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = upstream_of(scope.get("path", ""))
        remote = self._remotes.get(name) if name else None
        if remote is None:
            await self._routes(scope, receive, send)
            return
        begun = False

        async def noted(message: object) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await remote(scope, receive, noted)
        except GlagolError as error:
            if begun:
                raise
            retry = [(b"retry-after", str(RETRY_S).encode())]
            await refuse(scope, send, error, self._speaker, retry)


def _retry_after_s() -> int:
    return RETRY_S
