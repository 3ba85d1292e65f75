"""A gateway in this process whose recogniser is away: pages, library and doors without a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from glagol.gateway.app import build
from glagol.gateway.outfit import Gateway, assemble
from glagol.gateway.routing.remote import Remote
from glagol.gateway.service import Door
from glagol.gateway.settings import Settings
from glagol.gateway.work.services import client
from glagol.speech.audio.jail.pool import Jail
from glagol.web.access.api_keys import Keyring
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.host_check import Rules
from glagol.web.access.policy import Policy
from glagol.web.metrics import RequestMetrics
from glagol.web.serve import Operator

if TYPE_CHECKING:
    from glagol.web.request_log import Asgi

AWAY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@dataclass
class Desk:
    """The gateway and its application."""

    gateway: Gateway
    app: Asgi

    def browser(self, scheme: str = "http", **headers: str) -> httpx.AsyncClient:
        """A client that keeps cookies."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),  # type: ignore[arg-type]
            base_url=f"{scheme}://localhost",
            headers=headers,
        )


@asynccontextmanager
async def desk(
    state: Path,
    ring: Callable[[], Keyring | None] = lambda: None,
    *,
    here: bool = True,
    services: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """A gateway over `state`; its tasks are not started.

    Args:
        state: Directory of state.
        ring: The keys as they are now.
        here: Whether it listens on this machine alone.
        services: Addresses by name; one of asr leads nowhere otherwise.
        **settings: Of the gateway.
    """
    chosen = Settings(**settings)
    urls = {"asr": AWAY, **(services or {})}
    clients = {name: client(url) for name, url in urls.items()}
    door = Door(chosen.signin, here, ring)
    jail = Jail(tell=lambda *_, **__: None)
    gateway = assemble(state, clients, door, jail, chosen)
    remotes = {name: Remote(name, url) for name, url in urls.items()}
    app = build(
        gateway.service,
        {**remotes},
        RequestMetrics("gateway"),
        Operator(ring, Policy),
        Rules.of(chosen),
        BodyRate(0.0),
        alone=True,
    )
    try:
        yield Desk(gateway, app)
    finally:
        await gateway.close()
        for each in remotes.values():
            await each.close()
        gateway.service.library.close()
