"""The process: settings, library, ways to the services, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.core.hosts import is_loopback
from glagol.gateway import keys
from glagol.gateway.outfit import assemble
from glagol.gateway.routing.remote import Remote
from glagol.gateway.service import Door
from glagol.gateway.settings import Settings, services
from glagol.gateway.work.copies import SECONDS_MAX
from glagol.gateway.work.services import client
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.host_check import Rules
from glagol.web.metrics import RequestMetrics
from glagol.web.serve import Life, begun, exit_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.gateway.outfit import Gateway
    from glagol.web.request_log import Asgi

__all__ = ["main"]

DRAIN_S: Final = 10.0


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `GATEWAY_*`.

    Returns:
        The exit status by the table of errors.
    """
    return exit_status(partial(_run, environment))


def _run(environment: Mapping[str, str]) -> None:
    settings = Settings.from_environment(environment)
    journal.configure(settings.log_level)
    if not settings.state:
        raise InputError(
            "setting_invalid", "there is no directory for the library", "set GATEWAY_STATE"
        )
    tls = _tls(settings)
    there, key = services(settings), keys.read(settings.key_file)
    with begun("gateway-server", settings, environment, "glagol keys add NAME") as (
        address,
        operator,
    ):
        door = Door(settings.signin, is_loopback(settings.host.lower()), operator.keys)
        clients = {name: client(url, key) for name, url in there.items()}
        jail = _jail()
        gateway = assemble(Path(settings.state), clients, door, jail, settings)
        remotes = {name: Remote(name, url, key) for name, url in there.items()}
        from glagol.gateway.app import build

        metrics, bodies = RequestMetrics("gateway"), BodyRate(settings.min_body_rate)
        ways: dict[str, Asgi] = {**remotes}
        rules = Rules.of(settings)
        app = build(gateway.service, ways, metrics, operator, rules, bodies, alone=True)
        life = _life(gateway, bodies, tls)
        try:
            asyncio.run(_serve(life, app, address, settings, gateway, remotes, metrics))
        finally:
            gateway.service.library.close()
            jail.close()


async def _serve(
    life: Life,
    app: Asgi,
    address: str,
    settings: Settings,
    gateway: Gateway,
    remotes: Mapping[str, Remote],
    metrics: RequestMetrics,
) -> None:
    gateway.background.start()
    scheme = "https" if life.tls else "http"
    journal.write("listening", address=f"{scheme}://{settings.host}:{settings.port}/")
    try:
        await life.serve(app, address, settings.port, metrics)
    finally:
        await gateway.close()
        for each in remotes.values():
            await each.close()


def _life(gateway: Gateway, bodies: BodyRate, tls: tuple[Path, Path] | None) -> Life:
    events = gateway.service.events

    def stop() -> None:
        events.close()
        bodies.stop(DRAIN_S)

    return Life(lambda: events.closed, stop, DRAIN_S, websockets=True, tls=tls)


def _jail() -> Jail:
    """What opens recordings, started."""

    def tell(event: str, /, *, warning: bool, **fields: Any) -> None:
        journal.write(event, level=logging.WARNING if warning else logging.INFO, **fields)

    jail = Jail(Limits.for_seconds(SECONDS_MAX), slots=1, tell=tell)
    jail.start()
    return jail


def _tls(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate and key; None for plain HTTP.

    Raises:
        InputError: `setting_invalid`, one of them is missing.
    """
    if not settings.tls_cert and not settings.tls_key:
        return None
    found = (Path(settings.tls_cert), Path(settings.tls_key))
    if not settings.tls_cert or not settings.tls_key or not all(p.is_file() for p in found):
        raise InputError(
            "setting_invalid",
            "GATEWAY_TLS_CERT and GATEWAY_TLS_KEY do not both name a file",
            "set both, or neither",
        )
    return found
