"""What orchestrators ask gateway-server: whether it lives, whether it serves, its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from litestar import get
from litestar.response import Response

from glagol.gateway.http.answers import answer
from glagol.gateway.http.request import GatewayRequest, on_disk, service_of
from glagol.gateway.library import folders
from glagol.gateway.routing.table import SERVICES
from glagol.web import envelope

if TYPE_CHECKING:
    from glagol.gateway.work.services import Standing

__all__ = ["HANDLERS"]


class _Ready(msgspec.Struct, frozen=True):
    status: str
    services: dict[str, Standing]


@get("/health", summary="The process answers", sync_to_thread=False)
def health() -> Response[bytes]:
    """Liveness; says nothing about the services."""
    return Response(envelope.success(b'{"status":"alive"}'), media_type="application/json")


@get("/ready", summary="The library can be read; how each service is")
async def ready(request: GatewayRequest) -> Response[bytes]:
    """Readiness of the pages; they work while a service is away, and say so.

    Raises:
        HostError: The library cannot be read.
    """
    service = service_of(request)
    await on_disk(request, folders.every, service.library.db)
    standing = {name: service.services.standing(name) for name in SERVICES}
    return await answer(request, _Ready("ready", standing))


@get("/metrics", summary="Prometheus metrics", sync_to_thread=False)
def metrics(request: GatewayRequest) -> Response[bytes]:
    """Text format or OpenMetrics, as the Accept header asks."""
    accept = request.headers.get("accept", "")
    body, media_type = request.app.state.metrics.exposition(accept)
    return Response(body, media_type=media_type)


HANDLERS: Final = [health, ready, metrics]
