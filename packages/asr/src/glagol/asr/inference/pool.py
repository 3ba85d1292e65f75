"""The inference threads: open verified models, prove the default one, then work the queue.

Everything slow happens here, so the event loop stays free. The server listens while the model
loads; requests wait in the queue, `/ready` says why it is not ready yet. The threads share the
models; a transcription is a generator that any of them may carry on, chunk by chunk, so that a long
one gives way to a quick one (`glagol.asr.inference.scheduler` says what is promised).
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glagol.asr.inference.scheduler import QUICK_STEPS, Job, JobQueue
from glagol.core import journal
from glagol.core.errors import GlagolError, HostError

if TYPE_CHECKING:
    from glagol.speech.pipeline.transcriber import Transcriber
    from glagol.speech.types import Transcript

__all__ = ["Engine", "Opened"]

OPEN_MODELS_MAX: Final = 2
RETRY_AFTER_S_MAX: Final = 120
CHUNK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in service.

    Attributes:
        recognizer: What transcribes.
        report: What `/ready` tells about it.
    """

    recognizer: Transcriber
    report: dict[str, Any]


class Engine:
    """The queue, the threads that work it, and the models that they have open.

    Args:
        default: Id of the model that must be open for the server to be ready.
        open_model: Opens and proves a model by id; runs in the inference thread.
        queue_size: Quick jobs that may wait.
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
        self.queue = JobQueue(queue_size, workers)
        self._default = default
        self._open_model = open_model
        self._clock = clock
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._trouble: GlagolError | None = HostError(
            "not_ready", f"the model {default} is loading", "try again in a moment"
        )
        self._loaded = False
        self._opening = threading.Lock()
        self._work_s = 1.0
        self._threads = [
            threading.Thread(target=self._work, args=(turn,), name=f"inference-{turn}", daemon=True)
            for turn in range(workers)
        ]

    def start(self) -> None:
        """Begin to load the default model."""
        self._threads[0].start()

    @property
    def workers(self) -> int:
        """Inference threads."""
        return len(self._threads)

    @property
    def trouble(self) -> GlagolError | None:
        """Why the server is not ready; None when it is."""
        return _copy(self._trouble) if self._trouble else None

    def report(self) -> dict[str, Any]:
        """What serves; empty while nothing does."""
        opened = self._open.get(self._default)
        return opened.report if opened and self._trouble is None else {}

    def encoded(self) -> dict[str, tuple[int, int]]:
        """Calls of the encoder, and windows in them, by the id of each open model."""
        found = {model: opened.recognizer.tally for model, opened in list(self._open.items())}
        return {model: (tally.calls, tally.windows) for model, tally in found.items()}

    def admit(self, model: str) -> None:
        """Check, before the body is read, that a job for `model` would be accepted now.

        Raises:
            GlagolError: The model cannot be served, or `queue_full`, or `not_ready`.
        """
        if self._loaded and self._trouble is not None and model == self._default:
            raise _copy(self._trouble)
        self.queue.admit()

    def put(self, job: Job) -> None:
        """Append `job` to the queue.

        Raises:
            LimitError: `queue_full`.
            HostError: `not_ready`.
        """
        job.queued_s = self._clock()
        self.queue.put(job)

    def offer(self, job: Job) -> bool:
        """Give `job` to the engine if it has nothing else to do; whether it was taken.

        It is cancelled as soon as there is something else.
        """
        job.queued_s = self._clock()
        return self.queue.offer(job)

    @property
    def free(self) -> bool:
        """Whether a quick job that is put now is begun now."""
        queue = self.queue
        return self._trouble is None and not len(queue) and queue.taken < self.workers

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place, 1..120."""
        wait_s = self._work_s * (len(self.queue) + 1) / self.workers
        return max(1, min(RETRY_AFTER_S_MAX, math.ceil(wait_s)))

    def close(self, grace_s: float) -> None:
        """Refuse and fail what waits; give what has begun `grace_s`, then stop it.

        A stopped job ends after the chunk it is in, for which `CHUNK_S` more are given.
        """
        self.queue.close()
        self._join(grace_s)
        self.queue.stop()
        self._join(CHUNK_S)

    def _join(self, patience_s: float) -> None:
        """Wait for the threads, all together at most `patience_s`."""
        end = self._clock() + patience_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - self._clock()))

    def _work(self, turn: int) -> None:
        if turn == 0:
            self._start_default()
            self._loaded = True
            for other in self._threads[1:]:
                other.start()
        while (job := self.queue.take()) is not None:
            self._advance(job)

    def _start_default(self) -> None:
        try:
            self._load(self._default)
            self._trouble = None
        except GlagolError as error:
            self._trouble = error
            journal.error("model not ready", error)
        except Exception:  # noqa: BLE001 - the thread outlives bugs; the log has the traceback
            self._trouble = HostError(
                "not_ready", f"the model {self._default} cannot be opened", "see the server's log"
            )
            journal.write("model not ready", level=logging.ERROR, error=True)

    def _load(self, model: str) -> Opened:
        """The open model, opened now if need be; the least recently used one gives way."""
        with self._opening:
            if model in self._open:
                self._open.move_to_end(model)
                return self._open[model]
            if self._loaded and model == self._default and self._trouble is not None:
                raise _copy(self._trouble)
            began = self._clock()
            opened = self._open_model(model)
            self._open[model] = opened
            for other in list(self._open)[:-1]:
                if len(self._open) > OPEN_MODELS_MAX and other != self._default:
                    del self._open[other]
            load_s = round(self._clock() - began, 3)
            journal.write("model ready", load_s=load_s, **opened.report)
            return opened

    def _advance(self, job: Job) -> None:
        """One turn of a job: to its end, or until others may come first."""
        began = self._clock()
        try:
            if job.steps is None:
                journal.write("working", level=logging.DEBUG, audio_sha256=job.audio_sha256)
                job.wait_s = began - job.queued_s
                patience = QUICK_STEPS if job.lane == "quick" else 1
                job.steps = job.begin(self._load(job.model).recognizer)
            else:
                patience = 1
            transcript = _carried_on(job, patience)
            answer = None if transcript is None else job.render(transcript)
        except Exception as error:  # noqa: BLE001 - handed to the request that waits for it
            job.work_s += self._clock() - began
            if job.steps is not None:
                job.steps.close()
            job.done.set_exception(error)
            return
        job.work_s += self._clock() - began
        if transcript is None or answer is None:
            self.queue.give_back(job)
            return
        if job.lane == "quick" and not job.admitted:
            self._work_s += 0.2 * (job.work_s - self._work_s)
        job.done.set_result((transcript, answer))


def _carried_on(job: Job, patience: int) -> Transcript | None:
    """Do at most `patience` steps of a job that has begun; its transcript if that was the end."""
    assert job.steps is not None  # noqa: S101 - the caller has seen to it
    for _ in range(patience):
        try:
            step = next(job.steps)
        except StopIteration as end:
            transcript: Transcript = end.value
            return transcript
        if job.on_segment is not None:
            for segment in step.segments:
                job.on_segment(segment)
        if job.on_progress is not None:
            job.on_progress(step.progress)
    return None


def _copy(error: GlagolError) -> GlagolError:
    """The same error without a traceback: one that is raised again and again must not grow."""
    return type(error)(error.code, error.message, error.remedy)
