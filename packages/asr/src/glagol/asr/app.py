"""The ASGI application: Litestar's routes inside the layer that sees every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from glagol.asr.http import models, transcribe
from glagol.asr.jobs import deliveries
from glagol.asr.jobs import routes as job_routes
from glagol.asr.live import websocket
from glagol.asr.openai import transcriptions
from glagol.asr.tus import routes as upload_routes
from glagol.web import api_docs, errors
from glagol.web.access.auth import Access, Doors
from glagol.web.access.host_check import HostCheck, Rules
from glagol.web.access.policy import Policy
from glagol.web.drain_body import Lingering
from glagol.web.request_log import Observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.asr.http.request import Service
    from glagol.web.access.api_keys import Keyring
    from glagol.web.request_log import Asgi
    from glagol.web.tracing import Traces

__all__ = ["build"]

_OPENAI: Final = ("/v1/audio/", "/v1/models")
_DOORS: Final = Doors(
    open=frozenset({"/health", "/ready", "/docs", "/schema", "/schema/openapi.json"}),
    local={"/metrics": "metrics"},
    scopes=(("/v1/jobs", "jobs"), ("/v1/deliveries", "jobs"), ("/v1/", "transcribe")),
)
_KEY: Final = SecurityScheme(
    type="http",
    scheme="bearer",
    description="Where the operator has turned keys on: 401 without one, 403 without its scope,"
    " 429 with Retry-After above its limits.",
)
_HANDLERS: Final = [
    *transcribe.HANDLERS,
    *job_routes.HANDLERS,
    *deliveries.HANDLERS,
    models.models,
    models.model,
    transcriptions.transcriptions,
    websocket.stream,
    *upload_routes.HANDLERS,
    api_docs.handler([("WEBSOCKET", "/v1/stream", "Live transcription: docs/streaming.md.")]),
]


def build(
    service: Service,
    keys: Callable[[], Keyring | None] = lambda: None,
    policy: Callable[[], Policy] = Policy,
    traces: Traces | None = None,
) -> Observed:
    """The application around `service`.

    Args:
        service: What the handlers share.
        keys: Who may ask; None while keys are off.
        policy: The operator's limits.
        traces: Where spans go; None while traces are off.
    """
    speaker = errors.Speaker(_OPENAI, service.engine.retry_after_s)
    app = Litestar(
        route_handlers=_HANDLERS,
        exception_handlers={Exception: errors.answer},
        openapi_config=OpenAPIConfig(
            title="Glagol asr-server",
            version="1",
            path="/schema",
            components=Components(security_schemes={"key": _KEY}),
            security=[{}, {"key": []}],
            render_plugins=[JsonRenderPlugin()],
        ),
        state=State({"service": service, "speaker": speaker}),
        request_max_body_size=None,  # the upload reader has the operator's own limit
        logging_config=None,
    )
    paths = {"/schema/openapi.json", *(path for handler in _HANDLERS for path in handler.paths)}
    keyed = Access(cast("Asgi", app), _DOORS, keys, policy, speaker)
    guarded = Lingering(HostCheck(keyed, Rules.of(service.settings), speaker))
    return Observed(guarded, service.metrics, paths, traces)
