"""The ASGI application: Litestar's routes inside the layer that sees every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from glagol.asr import catalogue, job_routes, routes, transcriptions
from glagol.service import faults
from glagol.service.observed import Observed

if TYPE_CHECKING:
    from glagol.asr.intake import Service
    from glagol.service.observed import Asgi

__all__ = ["build"]

_OPENAI: Final = ("/v1/audio/", "/v1/models")
_HANDLERS: Final = [
    *routes.HANDLERS,
    *job_routes.HANDLERS,
    catalogue.models,
    catalogue.model,
    transcriptions.transcriptions,
]


def build(service: Service) -> Observed:
    """The application around `service`."""
    speaker = faults.Speaker(_OPENAI, service.engine.retry_after_s)
    app = Litestar(
        route_handlers=_HANDLERS,
        exception_handlers={Exception: faults.answer},
        openapi_config=OpenAPIConfig(
            title="Glagol asr-server",
            version="1",
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
        ),
        state=State({"service": service, "speaker": speaker}),
        request_max_body_size=None,  # the upload reader has the operator's own limit
        logging_config=None,
    )
    paths = {"/schema/openapi.json", *(path for handler in _HANDLERS for path in handler.paths)}
    return Observed(cast("Asgi", app), service.metrics, paths)
