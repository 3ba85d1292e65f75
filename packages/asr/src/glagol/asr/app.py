"""The ASGI application of asr-server: its routes inside the layers of every server."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from glagol.asr.crowded import refusing
from glagol.asr.http import home, models, transcribe
from glagol.asr.jobs import deliveries
from glagol.asr.jobs import routes as job_routes
from glagol.asr.live import websocket
from glagol.asr.openai import transcriptions
from glagol.asr.tus import routes as upload_routes
from glagol.web import api_docs, app
from glagol.web.access.host_check import Rules
from glagol.web.app import Application
from glagol.web.serve import UNRESTRICTED, Operator

if TYPE_CHECKING:
    from glagol.asr.http.request import Service
    from glagol.web.request_log import Asgi, Observed

__all__ = ["build", "within"]

_HANDLERS: Final = [
    home.home,
    *transcribe.HANDLERS,
    *job_routes.HANDLERS,
    *deliveries.HANDLERS,
    models.models,
    models.model,
    *transcriptions.HANDLERS,
    websocket.stream,
    *upload_routes.HANDLERS,
    api_docs.handler(
        [("WEBSOCKET", "/v1/stream", "Live transcription: docs/reference/streaming.md.")]
    ),
]
_APPLICATION: Final = Application(
    title="Glagol asr-server",
    handlers=_HANDLERS,
    scopes=(("/v1/jobs", "jobs"), ("/v1/deliveries", "jobs"), ("/v1/", "transcribe")),
    openai=("/v1/audio/", "/v1/models"),
    needs="its scope",
    body_bytes_max=None,  # the upload reader has the operator's own limit
    overridden=("/v1/uploads",),
)


def build(service: Service, operator: Operator = UNRESTRICTED) -> Observed:
    """The application around `service`.

    Args:
        service: What the handlers share.
        operator: Keys, limits and traces.
    """
    state = {"service": service, "keyring": operator.keys}
    rules = Rules.of(service.settings)
    return app.build(
        replace(_APPLICATION, inside=partial(refusing, service.bodies)),
        state,
        service.metrics,
        service.engine.retry_after_s,
        operator,
        rules,
        service.body_rate,
    )


def within(service: Service) -> Asgi:
    """The routes around `service` for a caller in this process; see `glagol.web.app.within`."""
    state = {"service": service, "keyring": UNRESTRICTED.keys}
    return app.within(_APPLICATION, state, service.engine.retry_after_s)
