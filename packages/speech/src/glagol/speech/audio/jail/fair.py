"""A few threads for slow calls, divided among owners.

Of the calls that wait, the one is begun whose owner has the fewest under way; among those, the
oldest. So an owner with a hundred calls delays another's by at most one of its own.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FairThreads"]

T = TypeVar("T")


class FairThreads:
    """Threads that are started when they are first needed, and end with the process.

    Args:
        count: how many calls are under way at a time, at least 1.
        name: of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, Callable[[], Any], Future[Any]]] = deque()
        self._busy: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    @property
    def busy(self) -> int:
        """Calls under way."""
        with self._changed:
            return self._busy.total()

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        with self._changed:
            return len(self._waiting)

    def submit(self, owner: str, call: Callable[[], T]) -> Future[T]:
        """Have `call` called.

        Args:
            owner: whose it is; empty where there is no owner.
            call: any function without arguments.

        Returns:
            Its value; cancelling it takes a call that waits out of the queue.

        Raises:
            HostError: `not_ready`, the threads have ended.
        """
        done: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise HostError("not_ready", "the process is stopping", "send it to another one")
            self._waiting.append((owner, call, done))
            if self._idle:
                self._changed.notify()
            elif len(self._threads) < self.count:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        done.add_done_callback(self._forget)
        return done

    def close(self) -> None:
        """End the threads after the calls under way; those that wait are cancelled."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._changed.notify_all()
        for _, _, done in waiting:
            done.cancel()

    def _forget(self, done: Future[Any]) -> None:
        if done.cancelled():
            with self._changed:
                self._waiting = deque(each for each in self._waiting if each[2] is not done)

    def _run(self) -> None:
        while (found := self._next()) is not None:
            owner, call, done = found
            try:
                value = call()
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                self._finished(owner)
                done.set_exception(error)
            else:
                self._finished(owner)
                done.set_result(value)
            del found, call, done  # a future holds what it brought

    def _next(self) -> tuple[str, Callable[[], Any], Future[Any]] | None:
        with self._changed:
            while True:
                while self._waiting:
                    found = min(self._waiting, key=lambda each: self._busy[each[0]])
                    self._waiting.remove(found)
                    if found[2].set_running_or_notify_cancel():
                        self._busy[found[0]] += 1
                        return found
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _finished(self, owner: str) -> None:
        with self._changed:
            self._busy[owner] -= 1
            if not self._busy[owner]:
                del self._busy[owner]


def result_of(done: Future[T], look_s: float, given_up: Callable[[], bool]) -> T:
    """Wait for a value, unless it is no longer needed; a call that waits is cancelled then.

    Raises:
        CancelledError: it was cancelled before it began.
        Exception: its own.
    """
    over = threading.Event()
    done.add_done_callback(lambda _: over.set())
    while not over.wait(look_s):
        if given_up():
            done.cancel()
    return done.result()
