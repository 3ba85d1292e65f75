"""Two lanes of tasks between the event loop and the inference threads.

Quick tasks, whose clients wait, are bounded and run in order. Long ones come a few at a time from
the durable queue, and take turns of one chunk each. The guarantees:

- a quick task waits for the quick ones before it and at most one chunk of a long one;
- a quick task that is not done after `QUICK_STEPS` steps continues in the long lane;
- while a long task waits, every turn after `QUICK_IN_A_ROW` quick ones is a long one's;
- a task that waits for its model is skipped: it delays only the tasks of that model;
- a task whose next audio is not there yet is skipped while another one can run, and a worker that
  has nothing else waits for it a moment at a time: a slow recording delays only itself;
- a task that finds no room for its model is overtaken by at most `OVERTAKES_MAX` tasks of other
  models but the default one, which is always open;
- an offered (best-effort) task runs while no other can, and is cancelled when another can.

Locks: there is one, `OpenModels.changed`. It guards the lanes and the leases of models, it is held
for list operations only, and no other lock is taken under it. Callbacks of futures run without it:
they may take any lock, and come back here. So `cancel`, `set_result` and `set_exception` of a
task's `done` are never called under it. A task that is cancelled while it waits leaves the queue at
once; one that has begun sees its `stop` between chunks.
"""

from __future__ import annotations

import weakref
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import HostError, LimitError

if TYPE_CHECKING:
    from glagol.asr.inference.models import OpenModels
    from glagol.asr.inference.tasks import Task

__all__ = ["OVERTAKES_MAX", "QUICK_IN_A_ROW", "QUICK_STEPS", "JobQueue"]

QUICK_STEPS: Final = 6
"""Steps that a quick task may do in its first turn: four chunks, over a minute, and its end."""

QUICK_IN_A_ROW: Final = 8

OVERTAKES_MAX: Final = 8
"""Tasks that may take a model which is open before one that waits for room is served."""


class JobQueue:
    """Both lanes. At most `waiting_max` quick tasks wait; running ones do not count.

    Args:
        waiting_max: Quick tasks that may wait, those that were interrupted included.
        models: What the tasks need; its lock guards the lanes, too.
        workers: Threads that will take tasks.

    Attributes:
        closed: Whether the queue refuses everything, for good.
    """

    def __init__(self, waiting_max: int, models: OpenModels, workers: int = 1) -> None:
        self._waiting_max = waiting_max
        self._workers = workers
        self._models = models
        self._changed = models.changed
        self._quick: deque[Task[Any]] = deque()
        self._long: deque[Task[Any]] = deque()
        self._taken: set[Task[Any]] = set()
        self._roomless: dict[Task[Any], None] = {}
        self._offered: Task[Any] | None = None
        self._in_a_row = 0
        self._overtaken = 0
        self.closed = False
        models.on_load = self._loaded

    def __len__(self) -> int:
        """Quick tasks that wait, for their model, their first turn or another one."""
        with self._changed:
            return len(self._quick) + sum(task.lane == "quick" for task in self._long)

    @property
    def limit(self) -> int:
        """Quick tasks that may wait."""
        return self._waiting_max

    @property
    def long(self) -> int:
        """Long tasks that wait, for their model, their first turn or another one."""
        with self._changed:
            return sum(task.lane == "long" for task in self._long)

    @property
    def taken(self) -> int:
        """Number of running tasks."""
        with self._changed:
            return len(self._taken)

    def admit(self, model: str) -> None:
        """Check, without taking a place, that a quick task for `model` would be accepted now.

        Tasks of other models that wait for room take no place: no worker could run them, however
        long the models that are open stay in use.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`, the process is stopping.
        """
        with self._changed:
            if self.closed:
                raise _stopping()
            waiting = sum(
                task.lane == "quick" and (task.model == model or task not in self._roomless)
                for task in (*self._quick, *self._long)
            )
            # An idle worker takes the head at once, so its place is free for one more.
            if waiting >= self._waiting_max + max(0, self._workers - self.taken):
                raise LimitError(
                    "queue_full",
                    f"{waiting} transcriptions wait already",
                    "try again after the time in Retry-After, or raise ASR_QUEUE_SIZE",
                )

    def put(self, task: Task[Any]) -> None:
        """Append `task` to its lane.

        Raises:
            LimitError: `queue_full`, only for quick tasks.
            HostError: `not_ready`.
        """
        with self._changed:
            if task.lane == "quick" and not task.admitted:
                self.admit(task.model)
            elif self.closed:
                raise _stopping()
            (self._quick if task.lane == "quick" else self._long).append(task)
            self._reserve()
            unwanted = self._unwanted()
            self._changed.notify()
        if unwanted is not None:
            unwanted.cancel()
        self._watch(task)

    def offer(self, task: Task[Any]) -> bool:
        """Take a best-effort task if idle; it is cancelled as soon as other work arrives."""
        with self._changed:
            busy = self.closed or self._taken or self._offered or self._runnable()
            if busy or not self._models.is_ready(task.model):
                return False
            task.slot = self._models.lease(task.model)
            self._offered = task
            self._changed.notify()
        self._watch(task)
        return True

    def take(self) -> Task[Any] | None:
        """Wait for the next task; None once the queue is closed and all started tasks are done.

        The caller owns the task until `end` or `give_back`.
        """
        with self._changed:
            while True:
                while (task := self._next()) is not None:
                    if task.steps is not None or task.done.set_running_or_notify_cancel():
                        self._taken.add(task)
                        return task
                if self.closed and not (self._quick or self._long):
                    return None
                if self._idle_work():
                    return self._offered
                self._changed.wait()

    def give_back(self, task: Task[Any], *, waiting: bool = False) -> None:
        """Put a started, unfinished `task` back for another turn.

        Args:
            task: It goes to the long lane.
            waiting: Its audio is late: a quick task then keeps its place instead.
        """
        with self._changed:
            self._taken.discard(task)
            if waiting and task.lane == "quick" and not task.demoted:
                self._quick.appendleft(task)
            else:
                task.demoted = True
                self._long.append(task)
            self._changed.notify()

    def end(self, task: Task[Any], *, keep_model: bool = False) -> None:
        """Forget `task`; call it before `done` gets the value or the error.

        Args:
            task: Taken, waiting or offered.
            keep_model: Leave its model leased; see `release`.
        """
        with self._changed:
            self._taken.discard(task)
            held_others_back = task in self._roomless
            self._roomless.pop(task, None)
            if task is self._offered:
                self._offered = None
            for lane in (self._quick, self._long):
                if task in lane:
                    lane.remove(task)
            task.steps = None
            if not keep_model:
                self._release(task)
            if held_others_back and self._roomless:
                self._reserve()
                self._changed.notify_all()

    def release(self, task: Task[Any]) -> None:
        """Give back the model that `task` kept; further calls do nothing."""
        with self._changed:
            self._release(task)

    def close(self) -> None:
        """Refuse new tasks and fail those that never began with `not_ready`."""
        with self._changed:
            self.closed = True
            waiting = [task for task in (*self._quick, *self._long) if task.steps is None]
            self._quick = deque(task for task in self._quick if task.steps is not None)
            self._long = deque(task for task in self._long if task.steps is not None)
            offered = self._offered
            self._changed.notify_all()
        if offered is not None:
            offered.cancel()
        for task in waiting:
            if task.done.set_running_or_notify_cancel():
                self.end(task)
                task.done.set_exception(_stopping())

    def stop(self) -> None:
        """Cancel every started task; it ends after its current chunk."""
        with self._changed:
            begun = [*self._taken, *self._quick, *self._long]
        for task in begun:
            task.cancel()

    def _loaded(self) -> None:
        """Called after a load: its tasks can run, or there is room again."""
        with self._changed:
            self._reserve()
            unwanted = self._unwanted()
            self._changed.notify_all()
        if unwanted is not None:
            unwanted.cancel()

    def _reserve(self) -> None:
        """Lease models for the tasks that wait without one, as far as there is room."""
        for task in (*self._quick, *self._long):
            if task.slot is not None:
                continue
            oldest = next(iter(self._roomless), task)
            # A part of a stream whose model is kept must never wait for the stream's own end.
            overtakes = task is not oldest and task.model != self._models.default
            overtakes = overtakes and (task.keeps_model or not task.admitted)
            if not overtakes or self._overtaken < OVERTAKES_MAX:
                task.slot = self._models.lease(task.model)
            if task.slot is None:
                self._roomless.setdefault(task)
                continue
            self._roomless.pop(task, None)
            if task is oldest:
                self._overtaken = 0
            elif overtakes:
                self._overtaken += 1

    def _release(self, task: Task[Any]) -> None:
        slot, task.slot = task.slot, None
        if slot is not None:
            self._models.release(slot)
            if self._roomless:
                self._reserve()
                self._changed.notify_all()

    def _runnable(self) -> bool:
        """Whether a task that waits could have a turn now."""
        return any(
            task.slot and task.slot.ready and task.fed() for task in (*self._quick, *self._long)
        )

    def _unwanted(self) -> Task[Any] | None:
        """The offered task, if there is something else to do."""
        return self._offered if self._offered is not None and self._runnable() else None

    def _idle_work(self) -> bool:
        """Whether there is an offered task that has not begun; it counts as begun then."""
        task = self._offered
        if task is None or task.done.running() or task.done.done():
            return False
        return task.done.set_running_or_notify_cancel()

    def _next(self) -> Task[Any] | None:
        """Remove and return the first task that can have a turn; None if none can."""
        hungry = self._in_a_row >= QUICK_IN_A_ROW
        lanes = (self._long, self._quick) if hungry else (self._quick, self._long)
        unfed = None
        for lane in lanes:
            for task in lane:
                if task.slot is None or not task.slot.ready:
                    continue
                if not task.fed():
                    unfed = unfed or (lane, task)
                    continue
                lane.remove(task)
                self._in_a_row = self._in_a_row + 1 if lane is self._quick else 0
                return task
        if unfed is None:
            return None
        unfed[0].remove(unfed[1])
        return unfed[1]

    def _watch(self, task: Task[Any]) -> None:
        """Drop `task` if it is cancelled before its start; its worker ends any other."""
        found = weakref.ref(task)  # a cycle of task and future would keep the task's model alive

        def ended(done: Future[Any]) -> None:
            task = found()
            if task is not None and done.cancelled():
                self.end(task)

        task.done.add_done_callback(ended)


def _stopping() -> HostError:
    return HostError("not_ready", "the server is stopping", "send the request to another one")
