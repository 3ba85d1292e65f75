"""Run a server process: the operator's files, first log lines, signals, exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core import journal
from glagol.core.errors import CODES, GlagolError, InputError
from glagol.core.hosts import is_loopback
from glagol.core.shares import ALONE
from glagol.web.access.api_keys import KeyFile
from glagol.web.access.auth import Signed, signed_by_nothing
from glagol.web.access.connections import Connections
from glagol.web.access.people import PeopleFile
from glagol.web.access.policy import Policy, PolicyFile
from glagol.web.bind import listener, probe, room
from glagol.web.tracing import open_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from granian.server.embed import Server

    from glagol.core.settings import NetworkSettings
    from glagol.web.access.api_keys import Keyring
    from glagol.web.metrics import RequestMetrics
    from glagol.web.tracing import Traces

__all__ = [
    "DRAIN_S",
    "STOPPED_S",
    "UNRESTRICTED",
    "Life",
    "Operator",
    "Settings",
    "announce_access",
    "begun",
    "end_by",
    "exit_status",
    "key_file",
    "listening",
    "policy_file",
    "starting",
    "until_signal",
]

STOPPED_S: Final = 29.0
"""Longest shutdown; an orchestrator usually kills after 30 s."""

DRAIN_S: Final = 20.0
"""In which requests under way may finish."""

SETTLE_S: Final = 0.3
"""After the last answer granian's threads still release objects of Python. An interpreter that is
ending refuses them, and the process aborts."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Operator:
    """What the operator of a server chose; keys and policy are asked at each request.

    Attributes:
        keys: The keys; None while keys are off.
        policy: Limits.
        traces: Where spans go; None while traces are off.
        signed: Finds the key that a request without one stands for; see `Access`.
    """

    keys: Callable[[], Keyring | None] = lambda: None
    policy: Callable[[], Policy] = Policy
    traces: Traces | None = None
    signed: Signed = signed_by_nothing


UNRESTRICTED: Final = Operator()


class Settings(Protocol):
    """What the log says of a program's settings."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Variables that were set but mean nothing, each with a hint."""

    def as_log(self) -> dict[str, object]:
        """All others by name, without secrets."""


def exit_status(run: Callable[[], None]) -> int:
    """Run a whole process; what it raises on purpose is the log's last line.

    Args:
        run: Returns when the process has ended as it should.

    Returns:
        The exit status by the table of errors.
    """
    journal.configure("info")  # until the settings are read
    try:
        run()
    except GlagolError as error:
        journal.error("cannot start", error)
        return CODES[error.code].exit_status
    return 0


def key_file(state: str, *, required: bool = False) -> Callable[[], Keyring | None]:
    """Gives the keys as they are now in a state directory; none when `state` is empty.

    People who may sign in are among them: where there is people.json, a program needs a key.

    Args:
        state: The directory.
        required: There must be keys.

    Raises:
        InputError: `setting_invalid`, keys.json cannot be used, or is gone, or is required.
    """
    if state:
        keys = KeyFile(Path(state) / "keys.json", required=required)
        people = PeopleFile(Path(state))

        def ring() -> Keyring | None:
            there = people.current()
            return keys.current() if there is None else there.beside(keys.current())

        return ring
    if required:
        raise InputError(
            "setting_invalid",
            "keys are required, and there is no directory of state",
            "set ASR_STATE (LLM_STATE) to the directory of keys.json",
        )
    return _no_keys


def policy_file(state: str) -> Callable[[], Policy]:
    """Gives the policy as it is now in a state directory; the default when `state` is empty.

    Raises:
        InputError: `setting_invalid`, policy.toml cannot be used.
    """
    return PolicyFile(Path(state) / "policy.toml").current if state else Policy


def starting(settings: Settings, **fields: Any) -> None:
    """Log what starts, and the variables that mean nothing.

    Args:
        settings: The operator's.
        **fields: What serves; they come first in the line.
    """
    python = sys.version.split()[0]
    journal.write("starting", **fields, python=python, settings=settings.as_log())
    for name in settings.unknown:
        journal.write("unknown setting ignored", level=logging.WARNING, setting=name)


def announce_access(ring: Keyring | None, host: str, *, prefix: str, add: str) -> None:
    """Log whether keys are on; a warning when they are off.

    Args:
        ring: The keys; None while they are off.
        host: The address that the server listens on.
        prefix: Of the server's settings, such as `ASR_`.
        add: The command that adds a key.
    """
    if ring is not None:
        journal.write("keys are on", keys=len(ring.keys))
    elif not is_loopback(host.lower()):
        journal.write(
            "listening beyond this machine without access control",
            level=logging.WARNING,
            host=host,
            remedy=f"run `{add}`, put an authenticating proxy in front,"
            f" or set {prefix}HOST=127.0.0.1",
        )
    else:
        journal.write(
            "keys are off",
            level=logging.WARNING,
            message="every program of this machine may use the server, and all that a proxy here"
            " passes on",
            remedy=f"run `{add}`, and set {prefix}KEYS=required where keys must be on",
        )


def end_by(seconds: float) -> None:
    """End the process after `seconds` in any case; a thread may be blocked by a dead disk."""

    def end() -> None:
        journal.write("stopped with threads under way", level=logging.WARNING)
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def listening(host: str, port: int, model: str, **pages: str) -> None:
    """Log where a browser on this machine finds the server.

    Args:
        host: The address that the server listens on.
        port: Its port.
        model: Id of the model that serves.
        **pages: Paths below it by what they are, such as `docs`.
    """
    everywhere = host in {"", "0.0.0.0", "::", "0"}  # noqa: S104 - it is read, not bound
    name = "localhost" if everywhere else f"[{host}]" if ":" in host else host
    address = f"http://{name}:{port}"
    where: dict[str, Any] = {what: address + path for what, path in pages.items()}
    journal.write("listening", address=f"{address}/", **where, model=model)


async def until_signal(
    serving: Coroutine[Any, Any, None], stop: Callable[[asyncio.Task[None]], None]
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        serving: Returns when the server has stopped.
        stop: Called at each signal with the task that serves: the first time it lets the server
            end by itself, and it cancels the task to end at once.
    """
    gc.freeze()  # else a search for garbage visits the whole program: 0.1 s in which nothing runs
    task = asyncio.create_task(serving)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, task)
    try:
        await task
    except asyncio.CancelledError:
        journal.write("stopped with requests under way", level=logging.WARNING)
    await asyncio.sleep(SETTLE_S)


@contextmanager
def begun(
    name: str, settings: NetworkSettings, environment: Mapping[str, str], add: str, **fields: Any
) -> Iterator[tuple[str, Operator]]:
    """Check keys, policy and address, log what starts, open traces; the block serves.

    Args:
        name: Of the server, for traces.
        settings: The operator's.
        environment: Of the process.
        add: The command that adds a key.
        **fields: What serves, for the log.

    Yields:
        The address as numbers; keys, limits and traces.

    Raises:
        InputError: `setting_invalid`, keys.json or policy.toml cannot be used.
        HostError: `host_io`, the address cannot be bound.
    """
    keys = key_file(settings.state, required=settings.keys == "required")
    policy = policy_file(settings.state)
    address = probe(settings.host, settings.port, settings.PREFIX)
    starting(settings, **fields)
    announce_access(keys(), settings.host, prefix=settings.PREFIX, add=add)
    traces = open_traces(name, environment)
    try:
        yield address, Operator(keys, policy, traces)
    finally:
        if traces is not None:
            traces.close()
    journal.write("stopped")


@dataclass(frozen=True, slots=True)
class Life:
    """How a server serves and ends.

    Attributes:
        stopping: Whether it was asked to end.
        stop: Notes that it was; called once.
        drain_s: Seconds in which requests under way may finish.
        alone: The part of the connections that one address may have alone.
        websockets: Whether it speaks them.
        tls: Certificate chain and key in PEM; None for plain HTTP.
    """

    stopping: Callable[[], bool]
    stop: Callable[[], None]
    drain_s: float = DRAIN_S
    alone: float = ALONE
    websockets: bool = False
    tls: tuple[Path, Path] | None = None

    async def serve(self, app: Any, address: str, port: int, metrics: RequestMetrics) -> None:
        """Serve until SIGTERM or SIGINT; a second signal does not wait for requests.

        Args:
            app: The ASGI application.
            address: From `begun`.
            port: TCP port.
            metrics: Get the number of connections as PREFIX_connections.
        """
        most = room()
        connections = Connections(port, most, self.alone)
        metrics.watch(
            f"{metrics.prefix}_connections",
            "Connections of clients that are open",
            connections.__len__,
        )
        server = listener(
            connections.around(app),
            address,
            port,
            websockets=self.websockets,
            connections=most,
            tls=self.tls,
        )
        connections.start()
        try:
            await until_signal(server.serve(), partial(self._signal, server))
        finally:
            connections.stop()

    def _signal(self, server: Server, task: asyncio.Task[None]) -> None:
        if self.stopping():
            task.cancel()
            return
        journal.write("stopping")
        self.stop()
        server.stop()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().call_later(self.drain_s, task.cancel)
        end_by(STOPPED_S)


def _no_keys() -> None:
    """There is no directory for them."""
