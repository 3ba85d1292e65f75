"""The inference threads, which run the tasks of the queue with the open models.

All slow work happens here and in the loading threads (`glagol.asr.inference.models`), so the event
loop stays free. The server listens while the model loads: requests wait in the queue, and `/ready`
gives the reason. The threads share the models. A transcription is a generator that any thread can
continue, chunk by chunk, so that a long one gives way to a quick one (the guarantees are in
`glagol.asr.inference.scheduler`).
"""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from glagol.asr.inference.models import Opened, OpenModels, forget_frames, fresh
from glagol.asr.inference.scheduler import QUICK_STEPS, JobQueue
from glagol.asr.inference.tasks import Task
from glagol.core import journal
from glagol.core.errors import GlagolError, HostError

__all__ = ["InferencePool", "Opened"]

RETRY_AFTER_S_MAX: Final = 120
CHUNK_S: Final = 5.0


class _Ended(NamedTuple):
    """A finished task and its value."""

    value: Any


class InferencePool:
    """The queue, its inference threads, and their open models.

    Args:
        default: Id of the model that must be open for the server to be ready.
        open_model: Opens and proves a model by id; runs in a loading thread.
        queue_size: Quick tasks that may wait.
        clock: Monotonic seconds.
        workers: Inference threads; each works on one chunk at a time.
    """

    def __init__(
        self,
        default: str,
        open_model: Callable[[str], Opened],
        *,
        queue_size: int,
        clock: Callable[[], float],
        workers: int = 1,
    ) -> None:
        self._default = default
        self._open_model = open_model
        self._clock = clock
        self._models = OpenModels(default, self._opened)
        self.queue = JobQueue(queue_size, self._models, workers)
        self._work_s = 1.0
        self._work_lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{turn}", daemon=True)
            for turn in range(workers)
        ]

    def start(self) -> None:
        """Start to load the default model and to run tasks."""
        self._models.start()
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        """Inference threads."""
        return len(self._threads)

    @property
    def loaded(self) -> bool:
        """Whether the load of the default model is over, well or not."""
        return self._models.is_ready(self._default)

    @property
    def trouble(self) -> GlagolError | None:
        """Why the server is not ready; None when it is."""
        loaded = self.loaded  # asked first: from then on the error does not change
        error = self._models.trouble()
        if isinstance(error, GlagolError):
            return fresh(error)
        if loaded:
            return None
        return HostError(
            "not_ready", f"the model {self._default} is loading", "try again in a moment"
        )

    def report(self) -> dict[str, Any]:
        """What serves; empty while nothing does."""
        return self._models.report()

    def encoded(self) -> dict[str, tuple[int, int]]:
        """Calls of the encoder, and windows in them, by the id of each open model."""
        return self._models.encoded()

    def admit(self, model: str) -> None:
        """Check, before the body is read, that a task for `model` would be accepted now.

        Raises:
            GlagolError: The model cannot be served, or `queue_full`, or `not_ready`.
        """
        if model == self._default and self.loaded and (trouble := self.trouble) is not None:
            raise trouble
        self.queue.admit(model)

    def put(self, task: Task[Any]) -> None:
        """Append `task` to the queue.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`.
        """
        task.queued_s, task.queued_ns = self._clock(), time.time_ns()
        self.queue.put(task)

    def offer(self, task: Task[Any]) -> bool:
        """Run a best-effort `task` if the pool is idle; returns whether it was taken.

        It is cancelled as soon as other work arrives.
        """
        task.queued_s, task.queued_ns = self._clock(), time.time_ns()
        return self.queue.offer(task)

    def release(self, task: Task[Any]) -> None:
        """Give back the model that `task` kept after its end; further calls do nothing."""
        self.queue.release(task)

    @property
    def free(self) -> bool:
        """Whether a quick task for an open model would start immediately."""
        queue = self.queue
        return self.trouble is None and not len(queue) and queue.taken < self.workers

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place, 1..120."""
        with self._work_lock:
            wait_s = self._work_s * (len(self.queue) + 1) / self.workers
        return max(1, min(RETRY_AFTER_S_MAX, math.ceil(wait_s)))

    def close(self, grace_s: float) -> None:
        """Refuse new tasks, fail waiting ones, give running ones `grace_s`, then stop them.

        A stopped task ends after the chunk it is in, for which `CHUNK_S` more are given. A load
        under way gets the same time.
        """
        self.queue.close()
        self._models.stop()
        self._join(grace_s)
        self.queue.stop()
        self._join(CHUNK_S)

    def _join(self, patience_s: float) -> None:
        """Wait for the threads, all together at most `patience_s`."""
        end = self._clock() + patience_s
        for thread in (*self._threads, *self._models.threads):
            if thread.is_alive():
                thread.join(max(0.0, end - self._clock()))

    def _work(self) -> None:
        last: weakref.ref[Task[Any]] | None = None
        while (task := self.queue.take()) is not None:
            self._advance(task, joined=last is not None and last() is task)
            last = weakref.ref(task)
            del task  # it must not outlive its turn here: it may hold a model

    def _opened(self, model: str) -> Opened:
        """Open a model in a loading thread, and log the result.

        Raises:
            Exception: It cannot be opened.
        """
        began = self._clock()
        try:
            opened = self._open_model(model)
        except Exception as error:
            if model == self._default:
                raise self._failed(error) from None
            raise
        load_s = round(self._clock() - began, 3)
        journal.write("model ready", load_s=load_s, **opened.report)
        return opened

    def _failed(self, error: Exception) -> GlagolError:
        """Log why the default model is not open, and return the error that clients get."""
        if isinstance(error, GlagolError):
            journal.error("model not ready", error)
            return fresh(error)
        journal.write("model not ready", level=logging.ERROR, error=True)
        return HostError(
            "not_ready", f"the model {self._default} cannot be opened", "see the server's log"
        )

    def _advance(self, task: Task[Any], *, joined: bool) -> None:
        """Run one turn of a task: to its end, or until others have priority.

        Args:
            task: Taken from the queue.
            joined: Whether the last turn of this thread was this task's, too.
        """
        began, began_ns = self._clock(), time.time_ns()
        try:
            patience = 1
            if task.steps is None:
                journal.write("working", level=logging.DEBUG, audio_sha256=task.audio_sha256)
                task.wait_s = began - task.queued_s
                _waited(task, began_ns)
                _begin(task)
            if task.lane == "quick" and not task.demoted:
                patience = QUICK_STEPS
            ended, waiting = _carried_on(task, patience)
        except Exception as error:  # noqa: BLE001 - handed to the request that waits for it
            self._worked(task, began, began_ns, joined=joined)
            if task.steps is not None:
                task.steps.close()
            forget_frames(error)
            self.queue.end(task)
            task.done.set_exception(error)
            return
        self._worked(task, began, began_ns, joined=joined)
        if ended is None:
            self.queue.give_back(task, waiting=waiting)
            return
        if task.lane == "quick" and not task.admitted:
            with self._work_lock:
                self._work_s += 0.2 * (task.work_s - self._work_s)
        self.queue.end(task, keep_model=task.keeps_model)
        task.done.set_result(ended.value)

    def _worked(self, task: Task[Any], began: float, began_ns: int, *, joined: bool) -> None:
        """Account a finished turn."""
        task.work_s += self._clock() - began
        task.timeline.add("work", began_ns, time.time_ns(), joined=joined)


def _waited(task: Task[Any], began_ns: int) -> None:
    """Record what a task waited for before its first turn."""
    task.timeline.add("queue", task.queued_ns, began_ns)
    if task.slot is not None:
        load_ns, loaded_ns = task.slot.load_ns
        if loaded_ns > task.queued_ns:  # it waited for the whole load or for the rest of it
            task.timeline.add("load", max(load_ns, task.queued_ns), min(loaded_ns, began_ns))


def _begin(task: Task[Any]) -> None:
    """Make the steps of a task; here, so that no variable of the caller holds its model."""
    if task.slot is None:
        raise AssertionError("a task without a model has no turn")
    task.steps = task.begin(task.slot.recognizer())


def _carried_on(task: Task[Any], patience: int) -> tuple[_Ended | None, bool]:
    """Do at most `patience` steps of a task that has begun.

    Returns:
        Its value if that was the end, and whether its audio is late.
    """
    if task.steps is None:
        raise AssertionError("a task is begun before it is carried on")
    for _ in range(patience):
        try:
            step = next(task.steps)
        except StopIteration as end:
            return _Ended(end.value), False
        if step.waiting:
            return None, True
        task.stepped(step)
    return None, False
