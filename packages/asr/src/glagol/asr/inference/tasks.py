"""Tasks that the inference threads run in turns with a model, and waiting for their values."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Generic, Literal, Protocol, TypeAlias, TypeVar

from glagol.speech.audio.source import Paced
from glagol.web.tracing import Timeline

if TYPE_CHECKING:
    from collections.abc import Generator

    from glagol.asr.inference.models import Slot
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.pipeline.transcriber import Transcriber
    from glagol.speech.types import Options, Progress, Segment, Step, Transcript

__all__ = ["Call", "Job", "Lane", "Stop", "Task", "value_of"]

T = TypeVar("T")
Lane: TypeAlias = Literal["quick", "long"]


class Stop(Protocol):
    """The part of `threading.Event` that is used."""

    def set(self) -> None:
        """Ask to stop."""

    def is_set(self) -> bool:
        """Whether `set` was called."""


@dataclass(slots=True, eq=False, kw_only=True, weakref_slot=True)
class Task(ABC, Generic[T]):
    """Work with a model, done in turns by the inference threads.

    Attributes:
        model: Model id.
        audio_sha256: Of the file's bytes, where there is a file.
        lane: Whether a client waits for it ("quick") or it is one of many ("long").
        done: The task's value, or the error.
        stop: Set to make a running task stop after the chunk it is in; an `Interrupt` stops it in
            the middle.
        admitted: Whether it is a part of something that was admitted before: it takes no place,
            and says nothing about how long requests take.
        demoted: Whether it is in the long lane although a client waits for it, since it took long.
        keeps_model: Whether its model stays leased when it ends well, until
            `InferencePool.release`.
        slot: Its lease of the model, while it has one.
        steps: The work under way, once it began.
        timeline: Where its phases are written down: `queue` until its first turn, `load` while
            its model was loaded meanwhile, `work` for each turn.
        queued_ns: When it was put into the queue, Unix nanoseconds.
        queued_s: The same in seconds of the pool's clock.
        wait_s: Seconds in the queue before its first turn, the load of its model included.
        work_s: Seconds in the inference threads, all turns together.
    """

    model: str
    audio_sha256: str = ""
    lane: Lane = "quick"
    done: Future[T] = field(default_factory=Future)
    stop: Stop = field(default_factory=threading.Event)
    admitted: bool = False
    demoted: bool = False
    keeps_model: bool = False
    slot: Slot | None = None
    steps: Generator[Step, None, T] | None = None
    timeline: Timeline = field(default_factory=Timeline)
    queued_ns: int = 0
    queued_s: float = 0.0
    wait_s: float = 0.0
    work_s: float = 0.0

    @abstractmethod
    def begin(self, recognizer: Transcriber) -> Generator[Step, None, T]:
        """The work as a generator of steps; its return value is the task's."""

    def fed(self) -> bool:
        """Whether it has what its next step needs; called under the queue's lock, never waits."""
        return True

    def stepped(self, step: Step) -> None:
        """Called after each step in the inference thread; must not block."""

    def cancel(self) -> None:
        """Drop the task if it waits, stop it after its current chunk if it has begun."""
        self.stop.set()
        self.done.cancel()


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Task[tuple["Transcript", bytes]]):
    """One transcription; its value is the transcript and the rendered answer.

    Attributes:
        file: The audio; closed when the job ends, however it ends.
        source: The same, opened, if it is; closed likewise.
        options: What to do with it.
        render: Turns the transcript into the answer's bytes, in the inference thread.
        on_segment: Called in the inference thread with each segment as soon as it is final; must
            not wait.
        on_progress: Called in the inference thread after each chunk; must not wait.
    """

    file: BinaryIO
    options: Options
    render: Callable[[Transcript], bytes]
    on_segment: Callable[[Segment], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    source: AudioSource | None = None

    def __post_init__(self) -> None:
        # no reference to the job: a cycle would keep its model alive
        file, source = self.file, self.source

        def close(_: object) -> None:
            file.close()
            if source is not None:
                source.close()

        self.done.add_done_callback(close)

    def fed(self) -> bool:
        """Whether its next audio is there, or it shall stop."""
        source = self.source
        return not isinstance(source, Paced) or self.stop.is_set() or source.arrived()

    def begin(self, recognizer: Transcriber) -> Generator[Step, None, tuple[Transcript, bytes]]:
        """Transcribe the file, then render."""
        transcript = yield from recognizer.steps(
            self.file,
            options=self.options,
            audio_sha256=self.audio_sha256,
            cancelled=self.stop.is_set,
            opened=self.source,
        )
        return transcript, self.render(transcript)

    def stepped(self, step: Step) -> None:
        """Pass on new final segments and the progress."""
        if self.on_segment is not None:
            for segment in step.segments:
                self.on_segment(segment)
        if self.on_progress is not None:
            self.on_progress(step.progress)


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Task[T]):
    """One call of a function with the model.

    Attributes:
        work: The function; its value is the task's.
    """

    work: Callable[[Transcriber], T]

    def begin(self, recognizer: Transcriber) -> Generator[Step, None, T]:
        """The call as a generator of no steps."""
        return self.work(recognizer)
        yield


def value_of(task: Task[T], look_s: float, given_up: Callable[[], bool]) -> T:
    """Wait for the value of a task; cancel the task when nothing needs it any more.

    Args:
        task: It was put into a queue.
        look_s: Seconds between two calls of `given_up`.
        given_up: Whether the value is no longer needed.

    Raises:
        CancelledError: The task was cancelled before it began.
        Exception: The task's own, a TimeoutError included.
    """
    # `done.result(look_s)` could not tell its own TimeoutError from the task's, and
    # `concurrent.futures.wait` does not see the end of a task that was cancelled
    over = threading.Event()
    task.done.add_done_callback(lambda _: over.set())
    while not over.wait(look_s):
        if given_up():
            task.cancel()
    return task.done.result()
