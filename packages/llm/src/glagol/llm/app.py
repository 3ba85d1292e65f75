"""The ASGI application of llm-server: its routes inside the layers of every server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from glagol.llm import routes
from glagol.llm.summarize import routes as summaries
from glagol.web import api_docs, app
from glagol.web.app import Application
from glagol.web.serve import UNRESTRICTED, Operator

if TYPE_CHECKING:
    from glagol.llm.routes import Service
    from glagol.llm.summarize.routes import SummaryService
    from glagol.web.request_log import Observed

__all__ = ["build"]

_APPLICATION: Final = Application(
    title="Glagol llm-server",
    handlers=[*routes.HANDLERS, *summaries.HANDLERS, api_docs.handler()],
    scopes=(("/v1/", "llm"),),
    openai=routes.OPENAI,
    needs="the scope llm",
)


def build(
    service: Service, summaries: SummaryService, operator: Operator = UNRESTRICTED
) -> Observed:
    """The application around `service`.

    Args:
        service: What our own routes and the passed ones need.
        summaries: What summaries need.
        operator: Keys, limits and traces.
    """
    return app.built(_APPLICATION, service, operator, summaries=summaries)
