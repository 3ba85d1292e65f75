"""One model, one thread: the bounded queue between the event loop and the inference thread.

The event loop only ever appends to a list under a lock that nobody holds for long. A job that is
cancelled while it waits leaves the queue at once; one that runs is told between chunks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from glagol.registry.errors import HostError, LimitError

if TYPE_CHECKING:
    from glagol.speech.types import Options, Segment, Transcript

__all__ = ["Job", "JobQueue"]


@dataclass(slots=True, eq=False)
class Job:
    """One transcription.

    Attributes:
        file: The audio; closed when the job ends, however it ends.
        audio_sha256: Of the file's bytes.
        model: Model id.
        options: What to do with it.
        render: Turns the transcript into the answer's bytes, in the inference thread.
        done: The rendered answer with its transcript, or the error.
        stop: Set to make a running job stop after the chunk it is in.
        on_segment: Called in the inference thread with each segment as soon as it is final; must
            not wait. None takes the transcript as a whole.
        queued_s: When it was put into the queue.
        wait_s: Seconds in the queue, once it ran.
        work_s: Seconds in the inference thread, once it ran.
    """

    file: BinaryIO
    audio_sha256: str
    model: str
    options: Options
    render: Callable[[Transcript], bytes]
    done: Future[tuple[Transcript, bytes]] = field(default_factory=Future)
    stop: threading.Event = field(default_factory=threading.Event)
    on_segment: Callable[[Segment], None] | None = None
    queued_s: float = 0.0
    wait_s: float = 0.0
    work_s: float = 0.0

    def __post_init__(self) -> None:
        self.done.add_done_callback(lambda _: self.file.close())

    def cancel(self) -> None:
        """Drop the job if it waits, stop it after its current chunk if it runs."""
        self.stop.set()
        self.done.cancel()


class JobQueue:
    """First in, first out, at most `waiting_max` waiting; the running job does not count.

    Attributes:
        closed: Whether the queue refuses everything, for good.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self.closed = False
        self._idle = True

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    @property
    def limit(self) -> int:
        """Jobs that may wait."""
        return self._waiting_max

    def admit(self) -> None:
        """Check, without taking a place, that a job would be accepted now.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`, the process is stopping.
        """
        if self.closed:
            raise _stopping()
        # An idle worker takes the head at once, so its place is free for one more.
        if len(self._jobs) >= self._waiting_max + self._idle:
            raise LimitError(
                "queue_full",
                f"{len(self._jobs)} transcriptions wait already",
                "try again after the time in Retry-After, or raise ASR_QUEUE_SIZE",
            )

    def put(self, job: Job) -> None:
        """Append `job`.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`.
        """
        with self._changed:
            self.admit()
            self._jobs.append(job)
            self._changed.notify()
        job.done.add_done_callback(lambda _: self._forget(job))

    def take(self) -> Job | None:
        """Wait for the next job and mark it running; None once the queue is closed."""
        with self._changed:
            while True:
                self._idle = True
                while not self._jobs and not self.closed:
                    self._changed.wait()
                if self.closed:
                    return None
                job = self._jobs.popleft()
                self._idle = False
                if job.done.set_running_or_notify_cancel():
                    return job

    def close(self) -> None:
        """Refuse new jobs and fail those that wait with `not_ready`."""
        with self._changed:
            self.closed = True
            waiting = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in waiting:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(_stopping())

    def _forget(self, job: Job) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)


def _stopping() -> HostError:
    return HostError("not_ready", "the server is stopping", "send the request to another one")
