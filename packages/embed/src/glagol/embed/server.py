"""The process: settings, registry, model, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from glagol.core import journal
from glagol.core.cores import usable
from glagol.core.errors import InputError
from glagol.embed.config import chosen
from glagol.embed.settings import Settings
from glagol.registry.registry import Registry
from glagol.web.audit_log import entry_of, log_in, note
from glagol.web.serve import Life, begun, exit_status

if TYPE_CHECKING:
    from glagol.embed.engine import Embedder
    from glagol.embed.service import Service
    from glagol.registry.manifest.types import Model

__all__ = ["main"]


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `EMBED_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.

    Returns:
        The exit status by the table of errors.
    """
    return exit_status(partial(_run, environment))


def _run(environment: Mapping[str, str]) -> None:
    settings = Settings.from_environment(environment)
    journal.configure(settings.log_level)
    registry = Registry.of(settings, environment)
    model = _model(settings, registry)
    with begun(
        "embed-server",
        settings,
        environment,
        "glagol keys add NAME --scope embed",
        model=model.id,
        manifest_version=registry.manifest.manifest_version,
        manifest_sha256=registry.manifest_sha256,
    ) as (address, operator):
        service = _service(settings, registry, model)
        service.pool.start()
        from glagol.embed.app import build

        asyncio.run(_serve(build(service, operator), address, service))


def _model(settings: Settings, registry: Registry) -> Model:
    try:
        return chosen(registry, settings.model_name)
    except InputError as error:
        raise InputError(
            "setting_invalid",
            f"EMBED_MODEL_NAME={settings.model_name!r}: {error.message}",
            error.remedy,
        ) from error


def _service(settings: Settings, registry: Registry, model: Model) -> Service:
    from glagol.core.shares import Shares
    from glagol.embed.metrics import Metrics
    from glagol.embed.pool import Pool
    from glagol.embed.service import Service

    pool = Pool(partial(_opened, settings, registry, model), settings.workers or usable())
    places = Shares(settings.queue_size, "requests under way", settings.owner_share)
    return Service(settings, registry, model, pool, places, Metrics(pool))


def _opened(settings: Settings, registry: Registry, model: Model) -> Embedder:
    from glagol.embed.engine import Embedder
    from glagol.runtime.options import Runtime

    runtime = Runtime(device=settings.device, threads=1)
    embedder = Embedder.open(
        registry, model=model.id, variant=settings.variant or None, runtime=runtime
    )
    entry = entry_of("opened", embedder.provenance, detail="embed-server")
    note(log_in(settings.state), entry)
    return embedder


async def _serve(app: Any, address: str, service: Service) -> None:
    settings, stopping = service.settings, service.stopping
    life = Life(stopping.is_set, stopping.set, alone=settings.owner_share)
    try:
        await life.serve(app, address, settings.port, service.metrics)
    finally:
        service.pool.close(1.0)
        service.texts.shutdown(wait=False, cancel_futures=True)
