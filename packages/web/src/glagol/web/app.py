"""The ASGI application of a server: its routes inside the layers that are the same everywhere.

From outside to inside: `request_log` (request id, headers, log line, metrics, trace), `drain_body`
(reads the rest of a short refused body), `access` (keys and limits), `methods` (HEAD, overrides),
`body_rate` (the least rate of bodies), then Litestar's routes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from glagol.web import errors
from glagol.web.access.auth import Access, PathRules
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.host_check import HostCheck, Rules
from glagol.web.drain_body import BodyDrain
from glagol.web.methods import Methods
from glagol.web.request_log import Observed
from glagol.web.tracing import Timeline

if TYPE_CHECKING:
    from glagol.core.settings import NetworkSettings
    from glagol.web.access.api_keys import Scope as KeyScope
    from glagol.web.metrics import RequestMetrics
    from glagol.web.request_log import Asgi, Receive, Scope, Send, Watcher
    from glagol.web.serve import Operator

__all__ = ["OPEN", "Application", "build", "built", "within"]

_SCHEMA: Final = "/schema/openapi.json"
OPEN: Final = frozenset({"/", "/health", "/ready", "/docs", "/schema", _SCHEMA})
"""Paths that need no key on any server."""


def _as_it_is(app: Asgi, _: errors.Speaker) -> Asgi:
    return app


@dataclass(frozen=True, slots=True)
class Application:
    """What is particular to one server's routes.

    Attributes:
        title: In the OpenAPI document and on its page.
        handlers: The routes.
        scopes: Beginnings of paths with the scope that a key needs, the longest first.
        openai: Beginnings of the paths whose errors have OpenAI's shape.
        needs: The scope in the words of the document, as "the scope llm".
        body_bytes_max: The largest body that a route takes if it says nothing else; None when the
            routes read bodies with a limit of their own.
        overridden: Beginnings of the paths where `X-HTTP-Method-Override` is obeyed.
        open: Paths that need no key.
        open_below: Beginnings of more of them.
        inside: Puts a layer of the server's own around its routes, behind all others.
    """

    title: str
    handlers: Sequence[BaseRouteHandler]
    scopes: Sequence[tuple[str, KeyScope]]
    openai: tuple[str, ...]
    needs: str
    body_bytes_max: int | None = 10_000_000
    overridden: tuple[str, ...] = ()
    open: frozenset[str] = OPEN
    open_below: tuple[str, ...] = ()
    inside: Callable[[Asgi, errors.Speaker], Asgi] = _as_it_is


def build(
    about: Application,
    state: Mapping[str, Any],
    watcher: Watcher,
    retry_after_s: Callable[[], int],
    operator: Operator,
    rules: Rules,
    bodies: BodyRate,
) -> Observed:
    """The whole application.

    Args:
        about: Its routes.
        state: What the handlers find as `app.state`.
        watcher: Counts requests.
        retry_after_s: Whole seconds after which a refused client may find a place.
        operator: Keys, limits and traces.
        rules: Hosts and pages that are answered.
        bodies: How slowly a body may come.
    """
    speaker = errors.Speaker(about.openai, retry_after_s)
    app = about.inside(_routes(about, state, speaker), speaker)
    path_rules = PathRules(about.open, {"/metrics": "metrics"}, about.scopes, about.open_below)
    paths = {_SCHEMA, *(path for handler in about.handlers for path in handler.paths)}
    meant = Methods(bodies.around(app), {*OPEN, "/metrics"}, about.overridden)
    access = Access(meant, path_rules, operator.keys, operator.policy, speaker, operator.signed)
    guarded = BodyDrain(HostCheck(access, rules, speaker))
    return Observed(guarded, watcher, paths, operator.traces)


class Service(Protocol):
    """What handlers share, as the layers see it."""

    @property
    def settings(self) -> NetworkSettings:
        """The operator's."""

    @property
    def metrics(self) -> RequestMetrics:
        """Where requests are counted."""

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place."""


def built(about: Application, service: Service, operator: Operator, **more: Any) -> Observed:
    """The whole application of a server that serves by its settings alone.

    Args:
        about: Its routes.
        service: What the handlers find as `app.state.service`.
        operator: Keys, limits and traces.
        **more: What else they find there.
    """
    settings = service.settings
    rules, bodies = Rules.of(settings), BodyRate(settings.min_body_rate)
    state = {"service": service, **more}
    return build(about, state, service.metrics, service.retry_after_s, operator, rules, bodies)


def within(about: Application, state: Mapping[str, Any], retry_after_s: Callable[[], int]) -> Asgi:
    """The routes for a caller in this process: no keys, hosts or limits, no line in the log.

    Args:
        about: The routes.
        state: What the handlers find as `app.state`.
        retry_after_s: Whole seconds after which a refused caller may find a place.
    """
    app = _routes(about, state, errors.Speaker(about.openai, retry_after_s))

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        call = uuid.uuid4().hex
        note = {"request_id": call, "call": call}
        scope.setdefault("state", {}).update(note=note, timeline=Timeline())
        await app(scope, receive, send)

    return asked


def _routes(about: Application, state: Mapping[str, Any], speaker: errors.Speaker) -> Asgi:
    app = Litestar(
        route_handlers=about.handlers,
        exception_handlers={Exception: errors.answer},
        openapi_config=OpenAPIConfig(
            title=about.title,
            version="1",
            path="/schema",
            components=Components(security_schemes={"key": _key(about.needs)}),
            security=[{}, {"key": []}],
            render_plugins=[JsonRenderPlugin()],
        ),
        state=State({**state, "speaker": speaker}),
        request_max_body_size=about.body_bytes_max,
        logging_config=None,
    )
    return cast("Asgi", app)


def _key(needs: str) -> SecurityScheme:
    return SecurityScheme(
        type="http",
        scheme="bearer",
        description=f"Where the operator has turned keys on: 401 without one, 403 without {needs},"
        " 429 with Retry-After above its limits.",
    )
