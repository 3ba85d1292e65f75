"""The process: settings, registry, model, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.rag.http.settings import Settings
from glagol.registry.registry import Registry
from glagol.web.audit_log import entry_of, log_in, note
from glagol.web.serve import Life, begun, exit_status

if TYPE_CHECKING:
    from glagol.rag.http.service import Service
    from glagol.rag.library import Library

__all__ = ["main"]


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
    journal.configure(settings.log_level)
    registry = Registry.of(settings, environment)
    _folder(settings)
    with begun(
        "rag-server",
        settings,
        environment,
        "glagol keys add NAME --scope search",
        model=settings.model_name,
        manifest_version=registry.manifest.manifest_version,
        manifest_sha256=registry.manifest_sha256,
    ) as (address, operator):
        service = _service(settings, registry)
        service.opening.start()
        from glagol.rag.http.app import build

        asyncio.run(_serve(build(service, operator), address, service))


def _service(settings: Settings, registry: Registry) -> Service:
    from glagol.core.shares import Shares
    from glagol.rag.http.service import Opening, Service
    from glagol.rag.talk import chat
    from glagol.web.metrics import RequestMetrics

    opening = Opening(partial(_opened, settings, registry))
    talk = chat(settings.llm_url, settings.llm_key) if settings.llm_url else None
    places = Shares(settings.queue_size, "requests under way", settings.owner_share)
    metrics = RequestMetrics("rag")
    metrics.watch("rag_ready", "1 when model and index are open", lambda: opening.ready)
    return Service(settings, opening, talk, places, metrics, log_in(settings.state))


def _opened(settings: Settings, registry: Registry) -> Library:
    from glagol.embed.engine import Embedder, proven
    from glagol.rag.library import Library
    from glagol.runtime.options import Runtime

    runtime = Runtime(device=settings.device, threads=1)
    embedder = Embedder.open(registry, model=settings.model_name or None, runtime=runtime)
    library = Library(_folder(settings), proven(embedder))
    entry = entry_of("opened", library.provenance, detail="rag-server")
    note(log_in(settings.state), entry)
    return library


def _folder(settings: Settings) -> Path:
    if settings.index:
        return Path(settings.index)
    if settings.state:
        return Path(settings.state, "search")
    raise InputError(
        "setting_invalid", "there is no place for the index", "set RAG_INDEX or RAG_STATE"
    )


async def _serve(app: Any, address: str, service: Service) -> None:
    settings, stopping = service.settings, service.stopping
    life = Life(stopping.is_set, stopping.set, alone=settings.owner_share)
    try:
        await life.serve(app, address, settings.port, service.metrics)
    finally:
        service.work.shutdown(wait=True, cancel_futures=True)
        service.opening.close()
