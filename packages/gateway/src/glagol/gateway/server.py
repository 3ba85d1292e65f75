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
from glagol.gateway.settings import Settings
from glagol.gateway.work.copies import SECONDS_MAX
from glagol.gateway.work.services import client
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from glagol.web.access.body_rate import BodyRate
from glagol.web.access.connections import Connections
from glagol.web.access.host_check import Rules
from glagol.web.bind import listener, probe, room
from glagol.web.metrics import RequestMetrics
from glagol.web.serve import (
    STOPPED_S,
    Operator,
    announce_access,
    end_by,
    exit_status,
    key_file,
    policy_file,
    starting,
    until_signal,
)
from glagol.web.tracing import open_traces

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
    ring = key_file(settings.state, required=settings.keys == "required")
    policy = policy_file(settings.state)
    tls = _tls(settings)
    address = probe(settings.host, settings.port, "GATEWAY_")
    starting(settings)
    announce_access(ring(), settings.host, prefix="GATEWAY_", add="glagol keys add NAME")
    urls = {
        "asr": settings.asr_url,
        "llm": settings.llm_url,
        "embed": settings.embed_url,
        "rag": settings.rag_url,
    }
    there = {name: url for name, url in urls.items() if url}
    key = keys.read(settings.key_file)
    door = Door(settings.signin, is_loopback(settings.host.lower()), ring)
    clients = {name: client(url, key) for name, url in there.items()}
    jail = _jail()
    gateway = assemble(Path(settings.state), clients, door, jail, settings)
    remotes = {name: Remote(name, url, key) for name, url in there.items()}
    from glagol.gateway.app import build

    metrics, bodies = RequestMetrics("gateway"), BodyRate(settings.min_body_rate)
    traces = open_traces("gateway-server", environment)
    operator = Operator(ring, policy, traces)
    ways: dict[str, Asgi] = {**remotes}
    app = build(gateway.service, ways, metrics, operator, Rules.of(settings), bodies, alone=True)
    try:
        asyncio.run(_serve(settings, app, address, gateway, remotes, bodies, tls))
    finally:
        gateway.service.library.close()
        jail.close()
        if traces is not None:
            traces.close()
    journal.write("stopped")


async def _serve(
    settings: Settings,
    app: Asgi,
    address: str,
    gateway: Gateway,
    remotes: Mapping[str, Remote],
    bodies: BodyRate,
    tls: tuple[Path, Path] | None,
) -> None:
    most = room()
    connections = Connections(settings.port, most)
    server = listener(
        connections.around(app), address, settings.port, websockets=True, connections=most, tls=tls
    )
    gateway.background.start()
    connections.start()
    scheme = "https" if tls else "http"
    journal.write("listening", address=f"{scheme}://{settings.host}:{settings.port}/")
    try:
        await until_signal(server.serve(), partial(_stop, server, gateway, bodies))
    finally:
        connections.stop()
        await gateway.close()
        for each in remotes.values():
            await each.close()


def _stop(server: Any, gateway: Gateway, bodies: BodyRate, task: asyncio.Task[None]) -> None:
    """Stop listening, let requests under way finish for a while; a second signal does not wait."""
    if gateway.service.events.closed:
        task.cancel()
        return
    journal.write("stopping")
    gateway.service.events.close()
    bodies.stop(DRAIN_S)
    server.stop()
    asyncio.get_running_loop().call_later(DRAIN_S, task.cancel)
    end_by(STOPPED_S)


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
