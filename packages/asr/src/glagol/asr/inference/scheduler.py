"""Two lanes of jobs between the event loop and the inference threads.

Quick jobs, for which somebody waits, are bounded and served in order. Long ones come a few at a
time from the durable queue, and take turns of one chunk each. What is promised:

- a quick job waits for the quick ones before it and at most one chunk of a long one;
- a quick job that is not done after `QUICK_STEPS` steps goes on in the long lane;
- while a long job waits, every turn after `QUICK_IN_A_ROW` quick ones is a long one's;
- a job that was only offered runs while there is nothing else, and is given up when there is.

The event loop only ever touches lists under a lock that nobody holds for long. A job that is
cancelled while it waits leaves the queue at once; one that has begun is told between chunks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol, TypeAlias

from glagol.core.errors import HostError, LimitError

if TYPE_CHECKING:
    from collections.abc import Generator

    from glagol.speech.pipeline.transcriber import Transcriber
    from glagol.speech.types import Options, Progress, Segment, Step, Transcript

__all__ = ["QUICK_IN_A_ROW", "QUICK_STEPS", "Job", "JobQueue", "Lane"]

Lane: TypeAlias = Literal["quick", "long"]

QUICK_STEPS: Final = 6
"""Steps that a quick job may do in its first turn: four chunks, over a minute, and its end."""

QUICK_IN_A_ROW: Final = 8


class Stop(Protocol):
    """What is needed of `threading.Event`."""

    def set(self) -> None:
        """Ask to stop."""

    def is_set(self) -> bool:
        """Whether somebody asked."""


@dataclass(slots=True, eq=False)
class Job:
    """One transcription.

    Attributes:
        file: The audio; closed when the job ends, however it ends.
        audio_sha256: Of the file's bytes.
        model: Model id.
        options: What to do with it.
        render: Turns the transcript into the answer's bytes, in the inference thread.
        lane: Whether somebody waits for it ("quick") or it is one of many ("long").
        done: The rendered answer with its transcript, or the error.
        stop: Set to make a running job stop after the chunk it is in; an `Interrupt` stops it in
            the middle.
        work: What to do with the model instead of a transcription; its value, which is not None,
            takes the transcript's place.
        admitted: Whether it is a part of something that was admitted before: it takes no place,
            and says nothing about how long requests take.
        on_segment: Called in the inference thread with each segment as soon as it is final; must
            not wait.
        on_progress: Called in the inference thread after each chunk; must not wait.
        steps: The transcription under way, once it began.
        queued_s: When it was put into the queue.
        wait_s: Seconds in the queue before its first turn.
        work_s: Seconds in the inference thread, all turns together.
    """

    file: BinaryIO
    audio_sha256: str
    model: str
    options: Options
    render: Callable[[Transcript], bytes]
    lane: Lane = "quick"
    done: Future[tuple[Transcript, bytes]] = field(default_factory=Future)
    stop: Stop = field(default_factory=threading.Event)
    work: Callable[[Transcriber], Any] | None = None
    admitted: bool = False
    on_segment: Callable[[Segment], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    steps: Generator[Step, None, Transcript] | None = None
    queued_s: float = 0.0
    wait_s: float = 0.0
    work_s: float = 0.0

    def __post_init__(self) -> None:
        self.done.add_done_callback(lambda _: self.file.close())

    def begin(self, recognizer: Transcriber) -> Generator[Step, None, Any]:
        """The work as a generator of steps; its value is the transcript."""
        if self.work is not None:
            return _once(self.work, recognizer)
        return recognizer.steps(
            self.file,
            options=self.options,
            audio_sha256=self.audio_sha256,
            cancelled=self.stop.is_set,
        )

    def cancel(self) -> None:
        """Drop the job if it waits, stop it after its current chunk if it has begun."""
        self.stop.set()
        self.done.cancel()


class JobQueue:
    """Both lanes. At most `waiting_max` quick jobs wait; those in a worker's hands do not count.

    Args:
        waiting_max: Quick jobs that may wait, those that were interrupted included.
        workers: Threads that will take jobs.

    Attributes:
        closed: Whether the queue refuses everything, for good.
    """

    def __init__(self, waiting_max: int, workers: int = 1) -> None:
        self._waiting_max = waiting_max
        self._workers = workers
        self._quick: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._taken: set[Job] = set()
        self._offered: Job | None = None
        self._in_a_row = 0
        self._changed = threading.Condition()
        self.closed = False

    def __len__(self) -> int:
        """Quick jobs that wait, for their first turn or for another one."""
        with self._changed:
            return len(self._quick) + sum(job.lane == "quick" for job in self._long)

    @property
    def limit(self) -> int:
        """Quick jobs that may wait."""
        return self._waiting_max

    @property
    def long(self) -> int:
        """Long jobs that wait, for their first turn or for another one."""
        with self._changed:
            return sum(job.lane == "long" for job in self._long)

    @property
    def taken(self) -> int:
        """Jobs in the workers' hands."""
        return len(self._taken)

    def admit(self) -> None:
        """Check, without taking a place, that a quick job would be accepted now.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`, the process is stopping.
        """
        if self.closed:
            raise _stopping()
        waiting = len(self)
        # An idle worker takes the head at once, so its place is free for one more.
        if waiting >= self._waiting_max + max(0, self._workers - self.taken):
            raise LimitError(
                "queue_full",
                f"{waiting} transcriptions wait already",
                "try again after the time in Retry-After, or raise ASR_QUEUE_SIZE",
            )

    def put(self, job: Job) -> None:
        """Append `job` to its lane.

        Raises:
            LimitError: `queue_full`, only for quick jobs.
            HostError: `not_ready`.
        """
        with self._changed:
            if job.lane == "quick" and not job.admitted:
                self.admit()
            elif self.closed:
                raise _stopping()
            (self._quick if job.lane == "quick" else self._long).append(job)
            if self._offered is not None:
                self._offered.cancel()
            self._changed.notify()
        job.done.add_done_callback(lambda _: self._forget(job))

    def offer(self, job: Job) -> bool:
        """Take a job for idle times, if this is one; it is cancelled as soon as it is none."""
        with self._changed:
            if self.closed or self._quick or self._long or self._taken or self._offered:
                return False
            self._offered = job
            self._changed.notify()
        job.done.add_done_callback(lambda _: self._forget(job))
        return True

    def take(self) -> Job | None:
        """Wait for the next turn; None once the queue is closed and all that began is done.

        The job is the caller's until it is done or given back.
        """
        with self._changed:
            while True:
                while not (self._quick or self._long or self.closed or self._idle_work()):
                    self._changed.wait()
                if not (self._quick or self._long):
                    if self.closed:
                        return None
                    return self._offered
                job = self._next()
                if job.steps is not None or job.done.set_running_or_notify_cancel():
                    self._taken.add(job)
                    return job

    def give_back(self, job: Job) -> None:
        """Let `job`, which has begun and is not done, wait for another turn in the long lane."""
        with self._changed:
            self._taken.discard(job)
            self._long.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Refuse new jobs and fail those that never began with `not_ready`."""
        with self._changed:
            self.closed = True
            waiting = [*self._quick, *(job for job in self._long if job.steps is None)]
            begun = [job for job in self._long if job.steps is not None]
            self._quick.clear()
            self._long = deque(begun)
            if self._offered is not None:
                self._offered.cancel()
            self._changed.notify_all()
        for job in waiting:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(_stopping())

    def stop(self) -> None:
        """Cancel everything that has begun; it ends after the chunk it is in."""
        with self._changed:
            begun = [*self._taken, *self._long]
        for job in begun:
            job.cancel()

    def _idle_work(self) -> bool:
        """Whether there is an offered job that nobody has begun; it counts as begun then."""
        job = self._offered
        if job is None or job.done.running() or job.done.done():
            return False
        return job.done.set_running_or_notify_cancel()

    def _next(self) -> Job:
        hungry = self._long and self._in_a_row >= QUICK_IN_A_ROW
        if self._quick and not hungry:
            self._in_a_row += 1
            return self._quick.popleft()
        self._in_a_row = 0
        return self._long.popleft()

    def _forget(self, job: Job) -> None:
        with self._changed:
            self._taken.discard(job)
            if job is self._offered:
                self._offered = None
            for lane in (self._quick, self._long):
                if job in lane:
                    lane.remove(job)


def _once(
    work: Callable[[Transcriber], Any], recognizer: Transcriber
) -> Generator[Step, None, Any]:
    """`work` as a generator of no steps."""
    return work(recognizer)
    yield


def _stopping() -> HostError:
    return HostError("not_ready", "the server is stopping", "send the request to another one")
