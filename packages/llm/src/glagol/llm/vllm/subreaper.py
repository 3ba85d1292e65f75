"""Run one program and make sure that none of its processes outlives llm-server.

    python subreaper.py SCRATCH PROGRAM ARGUMENT...

vLLM starts processes of its own, and those can be left behind when their parent is killed. This
small process stands between: it notices llm-server's death by the end of its standard input
(which works for kill -9 too), becomes the parent of everything that loses its own
(PR_SET_CHILD_SUBREAPER, see prctl(2)), and ends only when no descendant is left. Standard library
only: it runs before and beside everything else.

On SIGTERM the program gets SIGINT and time to end by itself; then its descendants get SIGTERM,
then SIGKILL. On SIGUSR1, and when llm-server is gone, they get SIGKILL at once; in the latter case
llm-server cannot remove the directory SCRATCH, so this process does. The exit status is the
program's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

INTERRUPT_S: Final = 15.0  # from SIGINT to SIGTERM
TERMINATE_S: Final = 5.0  # from SIGTERM to SIGKILL
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TICK_S: Final = 0.02


def run(scratch: Path, command: list[str]) -> int:
    """Run `command` until it ends, or until the parent that holds our standard input does.

    Args:
        scratch: Removed when that parent is gone.
        command: Program and arguments.

    Returns:
        Its exit status, as a shell counts it: 128 + signal when one ended it.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signals = _signal_pipe()
    process = subprocess.Popen(  # the object is kept: its end would reap the process unseen
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_the_subreaper,  # noqa: PLW1509 - there is one thread
    )
    program = process.pid
    ended: dict[int, int] = {}
    alone = False
    try:
        alone = _watch(program, signals, ended)
    finally:
        while _reap(ended):
            _signal(_family(), signal.SIGKILL)
            time.sleep(_TICK_S)
    if alone:
        for folder in scratch.glob("*/"):
            folder.chmod(0o700)  # the model's is read-only
        shutil.rmtree(scratch, ignore_errors=True)
    status = os.waitstatus_to_exitcode(ended[program])
    return 128 - status if status < 0 else status


def _watch(program: int, signals: int, ended: dict[int, int]) -> bool:
    """Until the program has ended, or has to be ended; whether llm-server is gone."""
    asked_s: float | None = None
    steps = [(0.0, signal.SIGINT), (INTERRUPT_S, signal.SIGTERM)]
    while program not in ended:
        ready, _, _ = select.select([signals, 0], [], [], None if asked_s is None else _TICK_S)
        if 0 in ready and not os.read(0, 1):
            return True
        arrived = set(os.read(signals, 64)) if signals in ready else set()
        if signal.SIGUSR1 in arrived:
            return False
        if {signal.SIGTERM, signal.SIGINT} & arrived:
            asked_s = asked_s or time.monotonic()
        _reap(ended)
        passed_s = time.monotonic() - asked_s if asked_s is not None else -1.0
        if steps and passed_s >= steps[0][0]:
            number = steps.pop(0)[1]
            _signal([program] if number == signal.SIGINT else _family(), number)
        if passed_s >= INTERRUPT_S + TERMINATE_S:
            return False
    return False


def _signal_pipe() -> int:
    """A descriptor that gives the number of each signal that arrives, one byte each."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return readable


def _reap(ended: dict[int, int]) -> bool:
    """Note the status of every child that has ended; whether any child is left."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return True
            ended[pid] = status
    except ChildProcessError:
        return False


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _family() -> list[int]:
    """Process ids of all our descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _die_with_the_subreaper() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
