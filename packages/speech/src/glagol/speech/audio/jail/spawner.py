"""Keeps the zygote running, and a few children ready.

A thread of its own starts the zygote, reads what it says and starts it again when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core.errors import HostError
from glagol.speech.audio.jail.channel import ClosedError, ParentEnd
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
from glagol.speech.audio.jail.wire import Confinement, Kind, ViolationError, decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.speech.audio.jail.limits import Limits

__all__ = ["Spawner", "Tell"]

SPARES: Final = 2
CHILD_S: Final = 10.0
"""How long a child may be on its way; the zygote is started within."""

TICK_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0
STEADY_S: Final = 10.0
"""A zygote that lived so long is started again at once."""

_BOOT: Final = (
    "import json, sys; a = json.loads(sys.argv[1]); sys.path[:] = a.pop('path'); "
    "from glagol.speech.audio.jail.zygote import main; main(a)"
)
_VARIABLES: Final = ("LD_LIBRARY_PATH",)
"""What the zygote gets of the environment: nothing secret, only where libraries lie."""


class Tell(Protocol):
    """Takes note of an event, for the log."""

    def __call__(self, event: str, /, *, warning: bool, **fields: Any) -> None:
        """Write an event with its fields."""


class Spawner:
    """The zygote and its children.

    Args:
        limits: of each child.
        tell: called by its thread.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        self._limits = limits
        self._tell = tell
        self._changed = threading.Condition()
        self._spares: deque[ParentEnd] = deque()
        self._ordered = 0
        self._wanted = SPARES
        self._out: dict[int, int | None] = {}
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="jail", daemon=True)
        self.confinement: Confinement | None = None
        self.starts = 0
        self.pid: int | None = None

    def start(self) -> None:
        """Start the zygote; returns at once."""
        self._thread.start()

    @property
    def children(self) -> int:
        """Children that have, or had, a recording and are not released."""
        with self._changed:
            return len(self._out)

    def take(self, given_up: Callable[[], bool]) -> ParentEnd:
        """A child that is shut in and waits for its task; `release` it in the end.

        Args:
            given_up: asked every tenth of a second.

        Raises:
            HostError: `cancelled`; `decoder_lost`, there is none.
        """
        until = time.monotonic() + CHILD_S
        while True:
            child = self._next(until, given_up)
            while not given_up() and time.monotonic() < until:
                if self._greeted(child, TICK_S):
                    return child
                if child.closed:
                    break  # it was killed while it waited
            self.release(child)
            if given_up():
                raise _cancelled()

    def take_now(self) -> ParentEnd | None:
        """A child that is there already; None while there is none. Never waits."""
        with self._changed:
            if not self._spares:
                return None
            child = self._spares.popleft()
            self._out[child.pid] = None
            self._order(LATER)
        if self._greeted(child, 0.0):
            return child
        self.release(child)
        return None

    def ended(self, child: ParentEnd, wait_s: float) -> int | None:
        """The wait status of a child that has ended; None when it is not known."""
        until = time.monotonic() + wait_s
        with self._changed:
            while self._out.get(child.pid) is None and child.pid in self._out:
                left_s = until - time.monotonic()
                if left_s <= 0 or self._closed:
                    return None
                self._changed.wait(left_s)
            return self._out.get(child.pid)

    def release(self, child: ParentEnd) -> None:
        """Close a child's socket, and kill it if it has not ended."""
        child.close()
        with self._changed:
            status = self._out.pop(child.pid, 0)
            if status is None:
                self._send(TO_CHILD.pack(KILL, child.pid))

    def give_way(self, child: ParentEnd) -> None:
        """Let others go first, if the child has used much processor time."""
        with self._changed:
            if child.pid in self._out:
                self._send(TO_CHILD.pack(GIVE_WAY, child.pid))

    def close(self) -> None:
        """End the zygote, and with it all children."""
        with self._changed:
            self._closed = True
            if self._control is not None:
                with contextlib.suppress(OSError):
                    self._control.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _greeted(self, child: ParentEnd, wait_s: float) -> bool:
        """Whether a child has said that it is shut in; it is closed if it said anything else."""
        try:
            frame = child.take(wait_s)
            if frame is None:
                return False
            if frame[0] is not Kind.HELLO:
                raise ViolationError("a child says first what holds it")
            self.confinement = decoded(frame[1], Confinement)
        except (ClosedError, ViolationError):
            child.close()
            return False
        return True

    def _next(self, until: float, given_up: Callable[[], bool]) -> ParentEnd:
        with self._changed:
            self._wanted += 1
            try:
                if not self._spares:
                    self._send(HURRY)
                    self._order()
                while not self._spares:
                    if given_up():
                        raise _cancelled()
                    if self._closed or time.monotonic() > until:
                        self._give_up()
                        raise HostError(
                            "decoder_lost",
                            "the process that opens recordings could not be started",
                            "send it again; if it stays so, see the server's log for `jail`",
                        )
                    self._changed.wait(TICK_S)
                child = self._spares.popleft()
                self._out[child.pid] = None
            finally:
                self._wanted -= 1
            self._order(LATER)
            return child

    def _give_up(self) -> None:
        """End a zygote that brings no child, so that another one is started."""
        if self._process is not None:
            self._process.kill()

    def _order(self, how: bytes = ORDER) -> None:
        """Ask for the children that are missing; call it with the lock."""
        while self._control is not None and len(self._spares) + self._ordered < self._wanted:
            if not self._send(how):
                return
            self._ordered += 1

    def _send(self, message: bytes) -> bool:
        if self._control is None:
            return False
        try:
            self._control.send(message, socket.MSG_DONTWAIT)
        except OSError:
            return False  # it has ended, and the thread finds out; or it hangs, and `_next` does
        return True

    def _run(self) -> None:
        pause_s = 0.0
        while not self._closed:
            began = time.monotonic()
            try:
                process, control = self._begin()
            except OSError as error:
                self._tell("jail not started", warning=True, message=str(error))
            else:
                with self._changed:
                    self._control, self._ordered = control, 0
                    self._process, self.pid = process, process.pid
                    self._order()
                    self.starts += 1
                self._listen(control)
                self._over(process, control)
            steady = time.monotonic() - began > STEADY_S
            pause_s = 0.0 if steady else min(PAUSE_S_MAX, 2 * pause_s + TICK_S)
            with self._changed:
                if not self._closed:
                    self._changed.wait_for(lambda: self._closed, pause_s - TICK_S)

    def _begin(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = {
            "path": [str(Path(entry).absolute()) for entry in sys.path if entry],
            "memory_bytes": self._limits.memory_bytes,
            "cpu_s": self._limits.cpu_s,
            "parent": os.getpid(),
        }
        one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}
        kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        with its:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, json.dumps(arguments)],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                env={**one, **kept},
                cwd="/",
            )
        return process, ours

    def _listen(self, control: socket.socket) -> None:
        """Take note of what the zygote says, until it ends."""
        size = socket.CMSG_SPACE(4)
        while True:
            try:
                data, extra, _, _ = control.recvmsg(64, size, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return
            if not data:
                return
            kind, pid, status = NOTE.unpack(data)
            with self._changed:
                if kind == BORN:
                    self._ordered -= 1
                    for _, _, rights in extra:
                        end = socket.socket(fileno=memoryview(rights).cast("i")[0])
                        if pid < 0:
                            end.close()
                        else:
                            self._spares.append(ParentEnd(end, pid))
                elif kind == ENDED:
                    self._mourn(pid, status)
                self._changed.notify_all()

    def _mourn(self, pid: int, status: int) -> None:
        if pid in self._out:
            self._out[pid] = status
        for spare in [spare for spare in self._spares if spare.pid == pid]:
            self._spares.remove(spare)
            spare.close()
            self._order()

    def _over(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        """The zygote has ended: its children have, too."""
        with self._changed:
            closed, self._control = self._closed, None
            spares, self._spares = list(self._spares), deque()
            pids = [spare.pid for spare in spares] + list(self._out)
            self._changed.notify_all()
        control.close()
        for spare in spares:
            spare.close()
        try:
            status = process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        for pid in pids:
            _reap_adopted(pid)
        with self._changed:
            for pid in pids:
                if pid in self._out and self._out[pid] is None:
                    self._out[pid] = int(signal.SIGKILL)
            self._changed.notify_all()
        if not closed:
            self._tell("jail ended, it is started again", warning=True, status=status)


def _cancelled() -> HostError:
    return HostError("cancelled", "the reading was cancelled", "send it again if needed")


def _reap_adopted(pid: int) -> None:
    """Where this process is the first of a container, orphans become its children."""
    if os.getpid() == 1:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
