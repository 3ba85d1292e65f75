"""The process that forks a child for each recording; `Spawner` starts it.

It has the decoders loaded and opens no stranger's byte itself. It has one thread, so that forking
is safe, and nothing of its parent's environment. It ends when its parent closes the control socket
or dies.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import av.container.core

from glagol.speech.audio.jail.channel import devour, pair
from glagol.speech.audio.jail.child import serve, warm_up
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.messages import (
    BORN,
    ENDED,
    GIVE_WAY,
    HURRY,
    KILL,
    LATER,
    NOTE,
    ORDER,
    TO_CHILD,
)
from glagol.speech.audio.jail.sandbox import die_with_parent

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main"]

JOB_FD: Final = 3
LATER_S: Final = 0.05

BRIEF_S: Final = 0.2
"""Processor time that every recording gets as soon as others; most need some hundredth of it."""

LOW: Final = 10
"""The nice value of a child that needs more: with another process it gets a tenth of a core."""

PROCESS_CLOCK: Final = 2
"""CPUCLOCK_SCHED of the kernel's posix-timers.h: the clock of a process is made of its number."""


def main(arguments: dict[str, int]) -> None:
    """Fork children until the control socket, descriptor 0, is closed.

    Args:
        arguments: memory_bytes and cpu_s of `Limits`; parent, the process that started this one.
    """
    die_with_parent(arguments["parent"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a server that drains still needs its children
    limits = Limits(memory_bytes=arguments["memory_bytes"], cpu_s=arguments["cpu_s"])
    control = socket.socket(fileno=os.dup(0))
    _prefer_for_oom()
    av.logging.set_level(None)
    _forbid_threads()
    warm_up()
    gc.disable()
    gc.freeze()
    _run(control, limits)


def _run(control: socket.socket, limits: Limits) -> None:
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(woken, select.POLLIN)
    children: dict[int, bool] = {}
    later: deque[float] = deque()
    try:
        while True:
            poll.poll(max(0.0, 1000 * (later[0] - time.monotonic())) if later else None)
            while later and later[0] <= time.monotonic():
                later.popleft()
                _begin(control, limits, children)
            devour(woken)
            _reap(control, children)
            while True:
                try:
                    message = control.recv(64, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
                if not message:
                    return
                if message == ORDER:
                    _begin(control, limits, children)
                elif message == LATER:
                    later.append(time.monotonic() + LATER_S)
                elif message == HURRY:
                    later = deque(0.0 for _ in later)
                else:
                    what, pid = TO_CHILD.unpack(message)
                    _command(what, pid, children)
    except OSError:  # the parent is gone
        return
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def _begin(control: socket.socket, limits: Limits, children: dict[int, bool]) -> None:
    parent_end, child_end = pair()
    zygote = os.getpid()
    try:
        pid = os.fork()
    except OSError:  # no memory, no process: the parent waits and asks again
        pid = -1
    if pid == 0:
        _become_child(child_end, zygote, limits)
    child_end.close()
    with parent_end:
        if pid > 0:
            children[pid] = True
        descriptors = struct.pack("i", parent_end.fileno())
        control.sendmsg(
            [NOTE.pack(BORN, pid, 0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        )


def _command(what: bytes, pid: int, children: dict[int, bool]) -> None:
    """Do what the parent wants of one child, unless the child has ended."""
    if pid not in children:
        return
    if what == KILL:
        children[pid] = False
        os.kill(pid, signal.SIGKILL)
    elif what == GIVE_WAY and _used_s(pid) > BRIEF_S:
        os.setpriority(os.PRIO_PROCESS, pid, max(LOW, os.getpriority(os.PRIO_PROCESS, pid)))


def _used_s(pid: int) -> float:
    """Seconds of processor time of a child; 0 where the system does not say."""
    try:
        return time.clock_gettime((~pid << 3) | PROCESS_CLOCK)
    except OSError:
        return 0.0


def _become_child(sock: socket.socket, zygote: int, limits: Limits) -> None:
    """Serve one recording and end; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(zygote)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.dup2(sock.fileno(), JOB_FD)
        _close_others()
        serve(socket.socket(fileno=JOB_FD), limits)
        status = 0
    finally:
        os._exit(status)


def _close_others() -> None:
    """Close all descriptors above the job's."""
    try:
        numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    except OSError:  # /proc is not there
        numbers = [os.sysconf("SC_OPEN_MAX")]
    os.closerange(JOB_FD + 1, max(numbers) + 1)


def _reap(control: socket.socket, children: dict[int, bool]) -> None:
    """Take note of children that have ended; the parent does not wait for those it killed."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        if children.pop(pid):
            control.send(NOTE.pack(ENDED, pid, status))


def _forbid_threads() -> None:
    """Let FFmpeg think that there is one processor: some decoders begin a thread for each."""
    path = av.container.core.__file__
    force = getattr(ctypes.CDLL(path), "av_cpu_force_count", None) if path else None
    if force is not None:
        force.argtypes, force.restype = [ctypes.c_int], None
        force(1)


def _prefer_for_oom() -> None:
    """Where memory runs out, the kernel shall end a child and not the server."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD only wakes the loop."""
