"""The process: settings, registry, model, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.rag.http.settings import Settings
from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.web.access.connections import Connections
from glagol.web.bind import listener, probe, room
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
    from granian.server.embed import Server

    from glagol.rag.http.service import Service
    from glagol.rag.library import Library

__all__ = ["main"]

DRAIN_S: Final = 20.0


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `RAG_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.

    Returns:
        The exit status by the table of errors.
    """
    return exit_status(partial(_run, environment))


def _run(environment: Mapping[str, str]) -> None:
    settings = Settings.from_environment(environment)
    home = Path(environment.get("GLAGOL_HOME") or ".").absolute()
    store = environment.get("GLAGOL_STORE")
    named = settings.model_registry_path
    registry = Registry.load(
        home,
        Path(store) if store else None,
        Trust(settings.trust),
        Path(named) if named else None,
    )
    journal.configure(settings.log_level)
    _folder(settings)
    keys = key_file(settings.state, required=settings.keys == "required")
    policy = policy_file(settings.state)
    address = probe(settings.host, settings.port, "RAG_")
    starting(
        settings,
        model=settings.model_name,
        manifest_version=registry.manifest.manifest_version,
        manifest_sha256=registry.manifest_sha256,
    )
    announce_access(keys(), settings.host, prefix="RAG_", add="glagol keys add NAME --scope search")
    traces = open_traces("rag-server", environment)
    try:
        service = _service(settings, registry)
        service.opening.start()
        from glagol.rag.http.app import build

        app = build(service, Operator(keys, policy, traces))
        asyncio.run(_serve(app, address, service))
    finally:
        if traces is not None:
            traces.close()
    journal.write("stopped")


def _service(settings: Settings, registry: Registry) -> Service:
    from glagol.core.shares import Shares
    from glagol.rag.http.service import Opening, Service
    from glagol.rag.talk import chat
    from glagol.web.metrics import RequestMetrics

    opening = Opening(partial(_opened, settings, registry))
    talk = chat(settings.llm_url, settings.llm_key) if settings.llm_url else None
    places = Shares(settings.queue_size, "requests under way", settings.owner_share)
    return Service(settings, opening, talk, places, RequestMetrics("rag"))


def _opened(settings: Settings, registry: Registry) -> Library:
    from glagol.embed.engine import Embedder, proven
    from glagol.rag.library import Library
    from glagol.runtime.options import Runtime

    runtime = Runtime(device=settings.device, threads=1)
    embedder = Embedder.open(registry, model=settings.model_name or None, runtime=runtime)
    return Library(_folder(settings), proven(embedder))


def _folder(settings: Settings) -> Path:
    if settings.index:
        return Path(settings.index)
    if settings.state:
        return Path(settings.state, "search")
    raise InputError(
        "setting_invalid", "there is no place for the index", "set RAG_INDEX or RAG_STATE"
    )


async def _serve(app: Any, address: str, service: Service) -> None:
    settings, most = service.settings, room()
    connections = Connections(settings.port, most, settings.owner_share)
    service.metrics.watch(
        "rag_connections", "Connections of clients that are open", connections.__len__
    )
    server = listener(connections.around(app), address, settings.port, connections=most)
    connections.start()
    try:
        await until_signal(server.serve(), partial(_stop, server, service))
    finally:
        connections.stop()
        service.work.shutdown(wait=True, cancel_futures=True)
        service.opening.close()


def _stop(server: Server, service: Service, task: asyncio.Task[None]) -> None:
    """Stop listening, let requests under way finish for a while; a second signal does not wait."""
    if service.stopping.is_set():
        task.cancel()
        return
    journal.write("stopping")
    service.stopping.set()
    server.stop()  # type: ignore[no-untyped-call]
    asyncio.get_running_loop().call_later(DRAIN_S, task.cancel)
    end_by(STOPPED_S)
