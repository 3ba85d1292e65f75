"""A jail for tests, and what they do to it."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glagol.core.errors import GlagolError
from glagol.speech.audio.decode import decode
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from glagol.speech.audio.source import AudioSource, Opener

PATIENCE_S = 30.0


def started(limits: Limits = Limits(), slots: int = 2) -> Jail:  # noqa: B008 - frozen
    """A jail that writes no log; close it."""
    jail = Jail(limits, slots=slots, tell=silent)
    jail.start()
    return jail


def silent(_: str, /, **__: Any) -> None:
    """Takes note of nothing."""


def outcome(opener: Opener, data: bytes, **options: Any) -> Any:
    """Channels, seconds, warnings and all samples that an opener gives; or an error's two texts."""
    try:
        source = opener(io.BytesIO(data), max_seconds=60.0, **options)
        blocks = list(source)
        source.close()
    except GlagolError as error:
        return error.code, error.message
    return source.channels, source.declared_s, tuple(source.warnings), np.concatenate(blocks)


def same(one: Any, other: Any) -> bool:
    """Whether two outcomes are equal, to the bit."""
    if len(one) != len(other) or len(one) < 4:
        return bool(one == other)
    return bool(one[:3] == other[:3] and np.array_equal(one[3], other[3]))


def in_process(data: bytes, **options: Any) -> Any:
    """The outcome of `decode`."""
    return outcome(decode, data, **options)


def until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait for `what` to be true."""
    end = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def child_of(source: AudioSource) -> int:
    """Process id of the child that decodes `source`."""
    pid: int = source._answers._child.pid  # type: ignore[attr-defined]
    return pid


def spares(jail: Jail) -> list[int]:
    """Process ids of the children that wait for a recording, once they all do."""
    found = jail._spawner._spares
    until(lambda: len(found) == 2)
    return [spare.pid for spare in found]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def exists(pid: int) -> bool:
    """Whether a process exists, a zombie included: it was not reaped then."""
    return Path(f"/proc/{pid}").exists()


def signalled(pid: int, number: int) -> None:
    """Send a signal."""
    os.kill(pid, number)
