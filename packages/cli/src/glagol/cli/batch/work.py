"""The loop over many recordings: some at a time, delivered in order, with a tally at the end."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from glagol.cli.texts.catalogue import translated

if TYPE_CHECKING:
    from glagol.cli.batch.targets import Job
    from glagol.cli.progress import Bars
    from glagol.speech.types import Transcript

__all__ = ["Tally", "carried_out"]

AHEAD: Final = 2  # recordings submitted for each worker; finished ones wait for their turn
MINUTE_S, MINUTES, TENTHS_S = 60, 60, 10
SHOWN_FROM: Final = 2  # jobs for which a bar of the whole is worth its line


@dataclass(slots=True)
class Tally:
    """What a run did; filled while it runs.

    Attributes:
        total: Recordings asked for.
        skipped: Those whose results were there.
        done: Those that were delivered.
        failed: Those that were not.
        audio_s: Seconds of audio that were transcribed.
        status: Exit status of the first failure, or 0.
    """

    total: int
    skipped: int = 0
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0
    status: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """Recordings that were not reached."""
        return self.total - self.skipped - self.done - self.failed

    def line(self) -> str:
        """The tally in words."""
        took = max(time.monotonic() - self.began, 1e-9)
        parts = [f"{self.done} of {self.total} recordings transcribed"]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.left} left"] if self.left else []
        audio, speed = _span(self.audio_s), f"{self.audio_s / took:.1f}"
        speeds = f"{audio} of audio in {_span(took)}, {speed} times real time"
        return f"{', '.join(map(translated, parts))}: {translated(speeds)}"


def carried_out(
    jobs: Sequence[Job],
    work: Callable[[Job, Callable[[], bool]], Transcript],
    deliver: Callable[[Job, Future[Transcript]], int],
    tally: Tally,
    *,
    at_once: int,
    bars: Bars,
) -> None:
    """Transcribe and deliver every job that is not done; results come in the order of `jobs`.

    Args:
        jobs: The recordings.
        work: Transcribes one; stops soon after its second argument says so.
        deliver: Writes one result or reports its error; the exit status that it asks for.
        tally: Is filled, up to an interruption as well.
        at_once: Recordings at a time.
        bars: Shows how many are done, and when the rest will be.

    Raises:
        KeyboardInterrupt: The work was stopped; the recordings that ran end after their chunk.
    """
    stop = threading.Event()
    waiting = [job for job in jobs if not job.done]
    tally.skipped = len(jobs) - len(waiting)
    running: deque[tuple[Job, Future[Transcript]]] = deque()
    workers = ThreadPoolExecutor(at_once, thread_name_prefix="transcribe")
    rest = iter(waiting)
    try:
        with bars.counter("recordings", least=SHOWN_FROM) as advance:
            while True:
                while len(running) < AHEAD * at_once and (job := next(rest, None)) is not None:
                    running.append((job, workers.submit(work, job, stop.is_set)))
                if advance is not None:
                    advance(tally.done + tally.failed, len(waiting))
                if not running:
                    return
                job, result = running.popleft()
                _settle(result, stop)
                status = deliver(job, result)
                if result.exception() is None:
                    tally.audio_s += result.result().duration_s
                tally.done, tally.failed = tally.done + (not status), tally.failed + bool(status)
                tally.status = tally.status or status
    finally:  # on Ctrl-C the running files stop after their current chunk
        stop.set()
        workers.shutdown(cancel_futures=True)


def _settle(result: Future[Transcript], stop: threading.Event) -> None:
    """Wait until a result is there.

    An interrupt that is raised inside a future's lock leaves it locked, and the worker waits for
    it for ever. So the first Ctrl-C only sets `stop`, which ends the work; a second one is raised.

    Raises:
        KeyboardInterrupt: the work was stopped.
    """

    def ask(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        wait((result,))
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        raise KeyboardInterrupt


def _span(seconds: float) -> str:
    """`12 s`, `3 min 5 s` or `2 h 7 min`."""
    if seconds < MINUTE_S:
        return translated(f"{seconds:.1f} s" if seconds < TENTHS_S else f"{seconds:.0f} s")
    minutes, rest = divmod(round(seconds), MINUTE_S)
    hours, left = divmod(minutes, MINUTES)
    return translated(f"{hours} h {left} min" if hours else f"{minutes} min {rest} s")
