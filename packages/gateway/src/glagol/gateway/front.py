"""The pages in front of asr-server in one process, as `glagol serve` has them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core import journal
from glagol.core.errors import HostError
from glagol.core.hosts import is_loopback
from glagol.gateway import keys
from glagol.gateway.outfit import assemble
from glagol.gateway.routing.remote import Remote
from glagol.gateway.routing.table import upstream_of
from glagol.gateway.service import Door
from glagol.gateway.settings import Settings, services
from glagol.gateway.work.services import client
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.host_check import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glagol.core.settings import NetworkSettings
    from glagol.gateway.outfit import Gateway
    from glagol.speech.audio.jail.pool import Jail
    from glagol.web.access.api_keys import Key, Keyring
    from glagol.web.metrics import RequestMetrics
    from glagol.web.request_log import Asgi, Receive, Scope, Send
    from glagol.web.serve import Operator

__all__ = ["Front"]

_HERE: Final = "http://localhost"
_HTML: Final = b"text/html"


class Recogniser(Protocol):
    """What the pages take from the server that they stand in front of."""

    @property
    def settings(self) -> NetworkSettings:
        """Its settings: address, hosts, state."""

    @property
    def metrics(self) -> RequestMetrics:
        """Where requests are counted."""

    @property
    def jail(self) -> Jail:
        """What opens recordings."""

    @property
    def body_rate(self) -> BodyRate:
        """How slowly a body may come."""


class Front:
    """Pages and library before the routes of the recogniser.

    Args:
        environment: `GATEWAY_*`.

    Raises:
        InputError: `setting_invalid`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._settings = Settings.from_environment(environment)
        self._gateway: Gateway | None = None

    def signed(self, scope: Mapping[str, Any], ring: Keyring) -> Key | None:
        """The key that a page's request stands for."""
        gateway = self._gateway
        return gateway.service.sessions.signed(scope, ring) if gateway else None

    def around(
        self, app: Asgi, within: Callable[[], Asgi], service: Recogniser, operator: Operator
    ) -> Asgi:
        """The pages around `app`; `app` alone where the library cannot be opened."""
        settings = service.settings
        key = keys.read(self._settings.key_file)
        there = {k: url for k, url in services(self._settings).items() if k != "asr"}
        clients = {name: client(url, key) for name, url in there.items()}
        door = Door(self._settings.signin, is_loopback(settings.host.lower()), operator.keys)
        if not settings.state:
            journal.write("no pages: there is no directory of state", level=logging.WARNING)
            return app
        try:
            self._gateway = assemble(
                Path(settings.state),
                {"asr": client(_HERE, app=within()), **clients},
                door,
                service.jail,
                self._settings,
            )
        except HostError as error:
            journal.error("no pages", error, level=logging.WARNING)
            return app
        from glagol.gateway.app import build

        remotes: dict[str, Asgi] = {name: Remote(name, url, key) for name, url in there.items()}
        pages = build(
            self._gateway.service,
            remotes,
            service.metrics,
            operator,
            Rules.of(settings),
            service.body_rate,
            alone=False,
        )
        return _split(pages, app, remotes, door)

    async def start(self) -> None:
        """Begin what works beside the requests."""
        if self._gateway is not None:
            self._gateway.background.start()

    def stop(self) -> None:
        """The server is stopping: end what lasts."""
        if self._gateway is not None:
            self._gateway.service.events.close()

    async def close(self) -> None:
        """The server has stopped."""
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway.service.library.close()


def _split(pages: Asgi, others: Asgi, remotes: Mapping[str, Asgi], door: Door) -> Asgi:
    """Gives the pages what is theirs.

    Programs that ask for `/` get the recogniser's facts, and so do browsers while there is no
    key to sign in with: its own page says what the server is.
    """
    from glagol.gateway.app import owns

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_pages = owns(path) or upstream_of(path) in remotes
        if path == "/":
            html = any(n == b"accept" and _HTML in value for n, value in scope["headers"])
            to_pages = html and not door.closed()
        await (pages if to_pages else others)(scope, receive, send)

    return split
