"""What a child must not be able to do, tried: the proof that the jail holds on this machine."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.speech.audio.jail.wire import Escapes, Kind, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.speech.audio.jail.channel import ChildEnd

__all__ = ["escape"]


def escape(end: ChildEnd, task: Task, descriptor: int | None) -> None:
    """Try to break out in every way that counts, and send what came of each.

    Args:
        end: where it is sent.
        task: the port to connect to.
        descriptor: of a recording.
    """
    recording = -1 if descriptor is None else descriptor
    attempts: dict[str, Callable[[], object]] = {
        "read a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "list a folder": lambda: list(Path("/").iterdir()),
        "write a file": lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY),
        "change the recording": lambda: os.pwrite(recording, b"x", 0),
        "cut the recording": lambda: os.ftruncate(recording, 0),
        "connect by TCP": lambda: _connect(socket.AF_INET, ("127.0.0.1", task.port)),
        "connect by a Unix socket": lambda: _connect(socket.AF_UNIX, f"\0{task.port}"),
        "signal the parent": lambda: os.kill(os.getppid(), 0),
        "begin a process": _fork,
        "run a program": _exec,
    }
    tried = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            tried[name] = 0
        except OSError as error:
            tried[name] = error.errno or errno.EPERM
    end.send_value(Kind.ESCAPES, Escapes(tried))


def _connect(family: int, address: tuple[str, int] | str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.connect(address)


def _exec() -> None:
    """Run a program that is not there: only a process that may run programs finds that out."""
    try:
        os.execv("/proc/self/nothing", ["nothing"])  # noqa: S606
    except FileNotFoundError:
        return


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
