"""The process: settings, registry, engine, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from glagol.asr.acceptance import known_answer
from glagol.asr.engine import CHUNK_S, Engine, Opened
from glagol.asr.settings import LOOPBACK, Settings
from glagol.registry.errors import CODES, GlagolError, HostError, InputError
from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.service import journal

if TYPE_CHECKING:
    from granian.server.embed import Server

__all__ = ["main", "opener", "serve"]

DRAIN_S: Final = 25.0  # an orchestrator usually kills after 30


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `ASR_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.

    Returns:
        The exit status by the table of errors.
    """
    journal.configure("info")
    try:
        settings = Settings.from_environment(environment)
        home = Path(environment.get("GLAGOL_HOME") or ".").absolute()
        store = environment.get("GLAGOL_STORE")
        registry = Registry.load(home, Path(store) if store else None, Trust(settings.trust))
        serve(settings, registry, home)
    except GlagolError as error:
        journal.write(
            "cannot start",
            level=logging.ERROR,
            code=error.code,
            message=error.message,
            remedy=error.remedy,
        )
        return CODES[error.code].exit_status
    return 0


def serve(settings: Settings, registry: Registry, home: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: The operator's.
        registry: Manifest and store.
        home: The directory of the manifest, for the known-answer clip.

    Raises:
        InputError: `setting_invalid`, the configured model does not exist.
        HostError: `host_io`, the address cannot be bound.
    """
    journal.configure(settings.log_level)
    default = _default_model(settings, registry)
    engine = Engine(
        default,
        opener(settings, registry, home),
        queue_size=settings.queue_size,
        clock=time.perf_counter,
    )
    _probe(settings.host, settings.port)
    _announce(settings, registry, default)
    engine.start()
    # Only now: while the inference thread reads the model, this one imports the web framework.
    from glagol.asr.app import build
    from glagol.asr.intake import Service
    from glagol.asr.metrics import Metrics

    app = build(Service(settings, registry, engine, Metrics(engine), default, time.perf_counter))
    asyncio.run(_run(app, settings, engine))
    journal.write("stopped")


def opener(settings: Settings, registry: Registry, home: Path) -> Any:
    """The function that the inference thread opens models with: verified, loaded, proven."""

    def open_model(model_id: str) -> Opened:
        from glagol.speech.recognizer import Recognizer

        model = registry.model(model_id)
        recognizer = Recognizer.open(
            registry,
            model=model.id,
            variant=settings.variant or None,
            device=settings.device,
            threads=settings.threads,
        )
        answer = known_answer(recognizer, model, home)
        return Opened(recognizer, {"known_answer": answer, "provenance": recognizer.provenance})

    return open_model


async def _run(app: Any, settings: Settings, engine: Engine) -> None:
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    server = Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig=journal.granian_config(),
    )
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(server.serve())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server, engine, task)
    try:
        await task
    except asyncio.CancelledError:
        journal.write("stopped with requests under way", level=logging.WARNING)


def _stop(server: Server, engine: Engine, task: asyncio.Task[None]) -> None:
    """Stop listening, fail what waits, let the running transcription finish for a while.

    A second signal does not wait.
    """
    if engine.queue.closed:
        task.cancel()
        return
    journal.write("stopping")
    engine.queue.close()
    server.stop()  # type: ignore[no-untyped-call]
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, engine.close, DRAIN_S)
    loop.call_later(DRAIN_S + 2 * CHUNK_S, task.cancel)


def _default_model(settings: Settings, registry: Registry) -> str:
    name = settings.model_name or registry.manifest.defaults.asr
    try:
        return registry.model(name).id
    except InputError as error:
        raise InputError(
            "setting_invalid", f"ASR_MODEL_NAME={name!r}: {error.message}", error.remedy
        ) from error


def _probe(host: str, port: int) -> None:
    """Find out before anything else whether the address can be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise HostError(
            "host_io",
            f"cannot listen on {host}:{port}: {error.strerror}",
            "set ASR_HOST and ASR_PORT to a free address of this machine",
        ) from error


def _announce(settings: Settings, registry: Registry, default: str) -> None:
    journal.write(
        "starting",
        model=default,
        manifest_version=registry.manifest.manifest_version,
        manifest_sha256=registry.manifest_sha256,
        python=sys.version.split()[0],
        settings=settings.as_log(),
    )
    for name in settings.unknown:
        journal.write("unknown setting ignored", level=logging.WARNING, setting=name)
    if settings.redis_url:
        journal.write(
            "ASR_REDIS_URL is accepted but this version has no shared queue yet",
            level=logging.WARNING,
        )
    if settings.host not in LOOPBACK:
        journal.write(
            "listening beyond this machine without access control",
            level=logging.WARNING,
            host=settings.host,
            remedy="put an authenticating proxy in front, or set ASR_HOST=127.0.0.1",
        )
