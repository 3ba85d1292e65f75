"""Run a server process: the operator's files, first log lines, signals, exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core import journal
from glagol.core.errors import CODES, GlagolError, InputError
from glagol.core.hosts import is_loopback
from glagol.web.access.api_keys import KeyFile
from glagol.web.access.auth import Signed, signed_by_nothing
from glagol.web.access.people import PeopleFile
from glagol.web.access.policy import Policy, PolicyFile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from glagol.web.access.api_keys import Keyring
    from glagol.web.tracing import Traces

__all__ = [
    "STOPPED_S",
    "UNRESTRICTED",
    "Operator",
    "Settings",
    "announce_access",
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
    task = asyncio.create_task(serving)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, task)
    try:
        await task
    except asyncio.CancelledError:
        journal.write("stopped with requests under way", level=logging.WARNING)
    await asyncio.sleep(SETTLE_S)


def _no_keys() -> None:
    """There is no directory for them."""
