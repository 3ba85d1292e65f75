"""The process: settings, registry, engine, granian, signals, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from glagol.asr import bootstrap
from glagol.asr.inference.pool import CHUNK_S
from glagol.core import journal
from glagol.core.errors import HostError
from glagol.web.access.connections import Connections
from glagol.web.bind import listener, probe, room
from glagol.web.serve import (
    STOPPED_S,
    Operator,
    announce_access,
    end_by,
    exit_status,
    key_file,
    listening,
    until_signal,
)

if TYPE_CHECKING:
    from granian.server.embed import Server

    from glagol.asr.bootstrap import Components
    from glagol.asr.http.request import Service
    from glagol.asr.jobs.workers import JobThreads
    from glagol.asr.tus.store import Uploads
    from glagol.web.access.auth import Signed
    from glagol.web.request_log import Asgi
    from glagol.web.tracing import Traces

__all__ = ["Front", "main", "serve"]

# An orchestrator usually kills after 30 s, so all this together takes less: bodies that are still
# arriving get 10 s, transcriptions 20 s and a chunk, answers until 25 s, jobs 3 s to be given back.
BODIES_S: Final = 10.0
DRAIN_S: Final = 20.0
ANSWERS_S: Final = DRAIN_S + CHUNK_S
SETTLE_S: Final = 3.0
FAREWELL_S: Final = 2.0
FAREWELLS: Final = 40


class Front(Protocol):
    """What stands before the routes in the same process, such as pages for people.

    It asks the routes as any client does, by ASGI, and is asked here for nothing but its life.
    """

    @property
    def signed(self) -> Signed:
        """Finds the key that a page's request stands for."""

    def around(
        self, app: Asgi, within: Callable[[], Asgi], service: Service, operator: Operator
    ) -> Asgi:
        """The application that is served.

        Args:
            app: The routes inside all layers of a server.
            within: Makes the same routes for a caller in this process, without a key.
            service: Behind the routes.
            operator: Keys, limits and traces.
        """

    async def start(self) -> None:
        """Begin what works beside the requests."""

    def stop(self) -> None:
        """The server is stopping: end what lasts."""

    async def close(self) -> None:
        """The server has stopped."""


def main(environment: Mapping[str, str] = os.environ, front: Front | None = None) -> int:
    """Run the server until a signal ends it.

    Args:
        environment: `ASR_*`, `GLAGOL_HOME` and `GLAGOL_STORE`.
        front: What stands before the routes in the same process, such as pages for people.

    Returns:
        The exit status by the table of errors.
    """

    def run() -> None:
        found = bootstrap.assemble(environment)
        with bootstrap.traced(found, "asr-server") as traces:
            serve(found, traces, front)

    return exit_status(run)


def serve(found: Components, traces: Traces | None = None, front: Front | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        found: What the operator chose.
        traces: Where spans go; None while traces are off.
        front: What stands before the routes; None for nothing.

    Raises:
        InputError: `setting_invalid`, keys.json cannot be used.
        HostError: `host_io`, the address cannot be bound.
    """
    settings, engine = found.settings, found.engine
    keys = key_file(settings.state, required=settings.keys == "required")
    address = probe(settings.host, settings.port, "ASR_")
    bootstrap.announce(found)
    announce_access(keys(), settings.host, prefix="ASR_", add="glagol keys add NAME")
    engine.start()
    # Only now: while the inference thread reads the model, this one imports the web framework.
    from glagol.asr.app import build, within
    from glagol.asr.http.request import Service
    from glagol.asr.observability.metrics import Metrics

    job_threads = found.job_threads()
    service = Service(
        settings,
        found.registry,
        engine,
        Metrics(engine, found.jobs),
        found.default,
        time.perf_counter,
        found.jail,
        jobs=found.jobs,
        jobs_off=found.jobs_off,
        resumable=_uploads(found),
    )
    service.metrics.watch("asr_streams", "Live streams that are open", lambda: len(service.streams))
    service.metrics.watch(
        "asr_jail_children", "Processes that have a recording open", lambda: found.jail.children
    )
    app: Asgi
    if front is None:
        app = build(service, Operator(keys, found.policy, traces))
    else:
        operator = Operator(keys, found.policy, traces, front.signed)
        app = front.around(build(service, operator), partial(within, service), service, operator)
    if job_threads is not None:
        job_threads.start()
    listening(settings.host, settings.port, found.default, docs="/docs")
    # beside the loop, which answers what is transcribed meanwhile
    drain = threading.Thread(target=engine.close, args=(DRAIN_S,), name="drain", daemon=True)
    asyncio.run(_run(app, address, service, job_threads, drain, front))
    service.executors.close()
    if drain.ident is not None:
        drain.join()
    if job_threads is not None:
        job_threads.close(SETTLE_S)
    found.jail.close()
    journal.write("stopped")


async def _run(
    app: Asgi,
    address: str,
    service: Service,
    job_threads: JobThreads | None,
    drain: threading.Thread,
    front: Front | None,
) -> None:
    settings, most = service.settings, room()
    connections = Connections(settings.port, most, settings.owner_share)
    service.metrics.watch(
        "asr_connections", "Connections of clients that are open", connections.__len__
    )
    server = listener(
        connections.around(app), address, settings.port, websockets=True, connections=most
    )
    connections.start()
    if front is not None:
        await front.start()
    try:
        await until_signal(
            server.serve(), partial(_stop, server, service, job_threads, drain, front)
        )
    finally:
        connections.stop()
        if front is not None:
            await front.close()


def _stop(
    server: Server,
    service: Service,
    job_threads: JobThreads | None,
    drain: threading.Thread,
    front: Front | None,
    task: asyncio.Task[None],
) -> None:
    """Stop listening, fail what waits, let the running transcription finish for a while.

    A second signal does not wait.
    """
    engine = service.engine
    if engine.queue.closed:
        task.cancel()
        return
    journal.write("stopping")
    if job_threads is not None:
        job_threads.stop()
    engine.queue.close()
    service.streams.close()
    if front is not None:
        front.stop()
    service.body_rate.stop(BODIES_S)
    _hang_up(server, service, FAREWELLS)
    drain.start()
    asyncio.get_running_loop().call_later(ANSWERS_S, task.cancel)
    end_by(STOPPED_S)


def _hang_up(server: Server, service: Service, turns: int) -> None:
    """Stop listening, which cuts live streams off, after their farewell or its deadline."""
    if len(service.streams) and turns:
        loop = asyncio.get_running_loop()
        loop.call_later(FAREWELL_S / FAREWELLS, _hang_up, server, service, turns - 1)
    else:
        server.stop()  # type: ignore[no-untyped-call]


def _uploads(found: Components) -> Uploads | None:
    """Where resumable uploads lie, if there is such a place."""
    from glagol.asr.tus.store import Uploads

    settings = found.settings
    if not settings.state:
        return None
    try:
        return Uploads(
            Path(settings.state) / "uploads",
            settings.max_upload_bytes,
            lambda: found.policy().jobs.spool_bytes,
            alone=settings.owner_share,
        )
    except HostError as error:
        journal.write("no resumable uploads", level=logging.WARNING, message=error.message)
        return None
