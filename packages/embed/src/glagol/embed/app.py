"""The ASGI application of embed-server: its routes inside the layers of every server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from glagol.embed import routes
from glagol.web import api_docs, app
from glagol.web.app import Application
from glagol.web.serve import UNRESTRICTED, Operator

if TYPE_CHECKING:
    from glagol.embed.service import Service
    from glagol.web.request_log import Observed

__all__ = ["build"]

_APPLICATION: Final = Application(
    title="Glagol embed-server",
    handlers=[*routes.HANDLERS, api_docs.handler()],
    scopes=(("/v1/", "embed"),),
    openai=routes.OPENAI,
    needs="the scope embed",
)


def build(service: Service, operator: Operator = UNRESTRICTED) -> Observed:
    """The application around `service`.

    Args:
        service: What the handlers share.
        operator: Keys, limits and traces.
    """
    return app.built(_APPLICATION, service, operator)
