"""The ASGI application: Litestar's routes inside the layers that see every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from glagol.llm import routes, summaries
from glagol.service import faults
from glagol.service.access import Access, Doors
from glagol.service.observed import Observed
from glagol.service.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.llm.routes import Service
    from glagol.llm.summaries import Desk
    from glagol.service.keys import Keyring
    from glagol.service.observed import Asgi

__all__ = ["build"]

_DOORS: Final = Doors(
    open=frozenset({"/health", "/ready", "/docs", "/schema/openapi.json"}),
    local={"/metrics": "metrics"},
    scopes=(("/v1/", "llm"),),
)
_HANDLERS: Final = [*routes.HANDLERS, *summaries.HANDLERS]


def build(
    service: Service,
    desk: Desk,
    keys: Callable[[], Keyring | None] = lambda: None,
    policy: Callable[[], Policy] = Policy,
) -> Observed:
    """The application around `service`.

    Args:
        service: What our own routes and the passed ones need.
        desk: What summaries need.
        keys: Who may ask; None while keys are off.
        policy: The operator's limits.
    """
    speaker = faults.Speaker(routes.OPENAI, service.keeper.retry_after_s)
    app = Litestar(
        route_handlers=_HANDLERS,
        exception_handlers={Exception: faults.answer},
        openapi_config=OpenAPIConfig(
            title="Glagol llm-server",
            version="1",
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
        ),
        state=State({"service": service, "summaries": desk, "speaker": speaker}),
        logging_config=None,
    )
    paths = {"/schema/openapi.json", *(path for handler in _HANDLERS for path in handler.paths)}
    guarded = Access(cast("Asgi", app), _DOORS, keys, policy, speaker)
    return Observed(guarded, service.metrics, paths)
