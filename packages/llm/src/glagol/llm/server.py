"""The llm-server process: settings, registry, supervisor of vLLM, HTTP, signals, shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx
import msgspec
import uvloop

from glagol.core import journal
from glagol.core.errors import InputError
from glagol.llm.settings import Settings
from glagol.llm.vllm import ENGINE, warmup
from glagol.llm.vllm.arguments import Launch, interpreter, served
from glagol.llm.vllm.client import Upstream, connect
from glagol.llm.vllm.supervisor import Supervisor
from glagol.models.gpu_plan import shared
from glagol.registry.registry import Registry, home_of
from glagol.web.bind import bound
from glagol.web.serve import (
    Operator,
    announce_access,
    exit_status,
    key_file,
    policy_file,
    starting,
    until_signal,
)
from glagol.web.tracing import open_traces

if TYPE_CHECKING:
    import socket

    from glagol.llm.proxy.listener import Listener
    from glagol.llm.routes import Service
    from glagol.llm.summarize.merge import Summarizer
    from glagol.llm.vllm.arguments import Served
    from glagol.web.access.policy import Policy

__all__ = ["main"]

DRAIN_S: Final = 10.0  # then vLLM is stopped, which may take 20 s more


@dataclass(frozen=True, slots=True)
class _Components:
    """What the process needs to serve."""

    settings: Settings
    registry: Registry
    what: Served
    launch: Launch
    operator: Operator


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `LLM_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.

    Returns:
        The exit status by the table of errors.
    """

    def run() -> None:
        components = _assemble(environment)
        try:
            with bound(components.settings.host, components.settings.port, "LLM_") as address:
                _announce(components)
                uvloop.run(_serve(components, address))
        finally:
            components.launch.remove()
            if components.operator.traces is not None:
                components.operator.traces.close()
        journal.write("stopped")

    return exit_status(run)


def _assemble(environment: Mapping[str, str]) -> _Components:
    settings = Settings.from_environment(environment)
    journal.configure(settings.log_level)
    for chatty in ("httpx", "httpcore"):  # they tell every request of ours to vLLM
        logging.getLogger(chatty).setLevel(logging.WARNING)
    home = home_of(environment)
    registry = Registry.of(settings, environment)
    what = _model(settings, registry)
    keys = key_file(settings.state, required=settings.keys == "required")
    interpreter(settings, home)  # without vLLM's environment no start can ever succeed
    policy = policy_file(settings.state)
    settings, cache_bytes = _held(settings, registry, what, policy())
    launch = Launch(settings, registry, what, home, cache_bytes)
    traces = open_traces("llm-server", environment)
    return _Components(settings, registry, what, launch, Operator(keys, policy, traces))


def _held(
    settings: Settings, registry: Registry, what: Served, policy: Policy
) -> tuple[Settings, int]:
    """The settings inside the operator's plan of a shared card, and the bytes of vLLM's KV cache.

    Without a plan these are 0: vLLM then measures what LLM_MEMORY leaves for its cache.

    Raises:
        HostError: `vram_too_small`, the plan has no room for the model.
    """
    gpu = msgspec.structs.replace(policy.gpu, llm=policy.gpu.llm or what.model.id)
    card = shared(gpu, registry) if settings.device == "cuda" else None
    if card is None:
        return settings, 0
    context = min(settings.max_context, card.context_tokens or settings.max_context)
    held = replace(settings, memory=card.llm_share, max_context=context)
    return held, card.cache_bytes


def _model(settings: Settings, registry: Registry) -> Served:
    name = settings.model_name or registry.manifest.defaults.llm
    if name is None:
        raise InputError(
            "setting_invalid",
            "the manifest names no default language model",
            "set LLM_MODEL_NAME to a model whose engine is vllm (`glagol models list`)",
        )
    try:
        what = served(registry, name, settings.device)
    except InputError as error:
        raise InputError(
            "setting_invalid", f"LLM_MODEL_NAME={name!r}: {error.message}", error.remedy
        ) from error
    if what.model.engine != ENGINE:
        raise InputError(
            "setting_invalid",
            f"LLM_MODEL_NAME={name!r} has the engine {what.model.engine}",
            "name a model whose engine is vllm (`glagol models list`)",
        )
    return what


async def _serve(components: _Components, address: socket.socket) -> None:
    settings = components.settings
    client = connect(str(components.launch.socket), components.launch.key)
    upstream = Upstream(client, components.what.model.id, settings.max_context)
    supervisor = Supervisor(components.launch, upstream, warmup.prove, time.monotonic)
    async with client, asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        try:
            await _answer(components, supervisor, client, address)
        finally:
            supervisor.stop()


async def _answer(
    components: _Components,
    supervisor: Supervisor,
    client: httpx.AsyncClient,
    address: socket.socket,
) -> None:
    """HTTP until a signal ends it."""
    from glagol.llm.app import build
    from glagol.llm.metrics import Metrics
    from glagol.llm.proxy.exchange import Address
    from glagol.llm.proxy.listener import Listener
    from glagol.llm.routes import Service
    from glagol.llm.slots import Slots
    from glagol.llm.summarize.asr_client import Recordings
    from glagol.llm.summarize.routes import SummaryService

    settings, registry = components.settings, components.registry
    places = Slots(settings.max_concurrent)
    service = Service(
        settings,
        components.what,
        registry.manifest.manifest_version,
        registry.manifest_sha256,
        supervisor,
        client,
        Address(str(components.launch.socket), components.launch.key),
        places,
        Metrics(supervisor, places),
    )
    asr = httpx.AsyncClient(base_url=settings.asr_url, trust_env=False)
    async with asr:
        recordings = Recordings(asr if settings.asr_url else None)
        summaries = SummaryService(_summarizer(service), components.what.names, recordings)
        app = build(service, summaries, components.operator)
        server = Listener(app, address)
        await until_signal(server.serve(), partial(_stop, server, supervisor))


def _summarizer(service: Service) -> Callable[[], Summarizer]:
    """Gives the one of the model that serves; its limit of steps counts for all summaries."""
    from glagol.llm.summarize.merge import Options, Summarizer

    made: dict[str, Summarizer] = {}

    def summarizer() -> Summarizer:
        upstream, about = service.supervisor.upstream(), service.provenance()
        version = str(about["vllm"])
        if version not in made:
            options = Options(concurrency=service.settings.max_concurrent)
            made[version] = Summarizer(upstream, options, about)
        return made[version]

    return summarizer


def _stop(server: Listener, supervisor: Supervisor, task: asyncio.Task[None]) -> None:
    """Stop listening, let requests under way finish for a while; a second signal does not wait."""
    if supervisor.closed:
        task.cancel()
        supervisor.stop()
        return
    journal.write("stopping")
    supervisor.close()
    server.stop()
    asyncio.get_running_loop().call_later(DRAIN_S, task.cancel)


def _announce(components: _Components) -> None:
    starting(
        components.settings,
        model=components.what.model.id,
        variant=components.what.variant.id,
        manifest_version=components.registry.manifest.manifest_version,
        manifest_sha256=components.registry.manifest_sha256,
    )
    announce_access(
        components.operator.keys(),
        components.settings.host,
        prefix="LLM_",
        add="glagol keys add NAME --scope llm",
    )
