"""The ASGI application of a server: its routes inside the layers that are the same everywhere.

From outside to inside: `request_log` (request id, headers, log line, metrics, trace), `drain_body`
(reads the rest of a short refused body), `access` (keys and limits), `methods` (HEAD, overrides),
`body_rate` (the least rate of bodies), then Litestar's routes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from glagol.web import errors
from glagol.web.access.auth import Access, Doors
from glagol.web.access.host_check import HostCheck
from glagol.web.drain_body import Lingering
from glagol.web.methods import Methods
from glagol.web.request_log import Observed

if TYPE_CHECKING:
    from glagol.web.access.api_keys import Scope
    from glagol.web.access.body_rate import BodyRate
    from glagol.web.access.host_check import Rules
    from glagol.web.request_log import Asgi, Watcher
    from glagol.web.serve import Operator

__all__ = ["Application", "build"]

_SCHEMA: Final = "/schema/openapi.json"
_OPEN: Final = frozenset({"/", "/health", "/ready", "/docs", "/schema", _SCHEMA})


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
    """

    title: str
    handlers: Sequence[BaseRouteHandler]
    scopes: Sequence[tuple[str, Scope]]
    openai: tuple[str, ...]
    needs: str
    body_bytes_max: int | None = 10_000_000
    overridden: tuple[str, ...] = ()


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
    doors = Doors(_OPEN, {"/metrics": "metrics"}, about.scopes)
    paths = {_SCHEMA, *(path for handler in about.handlers for path in handler.paths)}
    inner = bodies.around(cast("Asgi", app))
    meant = Methods(inner, {*_OPEN, "/metrics"}, about.overridden)
    access = Access(meant, doors, operator.keys, operator.policy, speaker)
    guarded = Lingering(HostCheck(access, rules, speaker))
    return Observed(guarded, watcher, paths, operator.traces)


def _key(needs: str) -> SecurityScheme:
    return SecurityScheme(
        type="http",
        scheme="bearer",
        description=f"Where the operator has turned keys on: 401 without one, 403 without {needs},"
        " 429 with Retry-After above its limits.",
    )
