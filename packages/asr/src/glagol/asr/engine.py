"""The inference thread: opens verified models, proves the default one, then works the queue.

Everything slow happens here, so the event loop stays free. The server listens while the model
loads; requests wait in the queue, `/ready` says why it is not ready yet.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from glagol.asr.queue import Job, JobQueue
from glagol.registry.errors import GlagolError, HostError
from glagol.service import journal

if TYPE_CHECKING:
    from glagol.speech.recognizer import Recognizer
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

    recognizer: Recognizer
    report: dict[str, Any]


class Engine:
    """The queue, the thread that works it, and the models that the thread has open.

    Args:
        default: Id of the model that must be open for the server to be ready.
        open_model: Opens and proves a model by id; runs in the inference thread.
        queue_size: Jobs that may wait.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        default: str,
        open_model: Callable[[str], Opened],
        *,
        queue_size: int,
        clock: Callable[[], float],
    ) -> None:
        self.queue = JobQueue(queue_size)
        self._default = default
        self._open_model = open_model
        self._clock = clock
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._trouble: GlagolError | None = HostError(
            "not_ready", f"the model {default} is loading", "try again in a moment"
        )
        self._loaded = False
        self._running: Job | None = None
        self._work_s = 1.0
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to load the default model."""
        self._thread.start()

    @property
    def trouble(self) -> GlagolError | None:
        """Why the server is not ready; None when it is."""
        return _copy(self._trouble) if self._trouble else None

    def report(self) -> dict[str, Any]:
        """What serves; empty while nothing does."""
        opened = self._open.get(self._default)
        return opened.report if opened and self._trouble is None else {}

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

    def retry_after_s(self) -> int:
        """Whole seconds after which a refused client may find a place, 1..120."""
        return max(1, min(RETRY_AFTER_S_MAX, math.ceil(self._work_s * (len(self.queue) + 1))))

    def close(self, grace_s: float) -> None:
        """Refuse and fail what waits; give the running job `grace_s`, then stop it.

        A stopped job ends after the chunk it is in, for which `CHUNK_S` more are given.
        """
        self.queue.close()
        self._thread.join(grace_s)
        running = self._running
        if running is not None:
            running.cancel()
            self._thread.join(CHUNK_S)

    def _work(self) -> None:
        self._start_default()
        self._loaded = True
        while (job := self.queue.take()) is not None:
            self._running = job
            self._transcribe(job)
            self._running = None

    def _start_default(self) -> None:
        try:
            self._load(self._default)
            self._trouble = None
        except GlagolError as error:
            self._trouble = error
            journal.write(
                "model not ready",
                level=logging.ERROR,
                code=error.code,
                message=error.message,
                remedy=error.remedy,
            )
        except Exception:  # noqa: BLE001 - the thread outlives bugs; the log has the traceback
            self._trouble = HostError(
                "not_ready", f"the model {self._default} cannot be opened", "see the server's log"
            )
            journal.write("model not ready", level=logging.ERROR, error=True)

    def _load(self, model: str) -> Opened:
        """The open model, opened now if need be; the least recently used one gives way."""
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

    def _transcribe(self, job: Job) -> None:
        journal.write("working", level=logging.DEBUG, audio_sha256=job.audio_sha256)
        began = self._clock()
        job.wait_s = began - job.queued_s
        try:
            transcript = _heard(self._load(job.model).recognizer, job)
            answer = job.render(transcript)
        except Exception as error:  # noqa: BLE001 - handed to the request that waits for it
            job.done.set_exception(error)
            return
        finally:
            job.work_s = self._clock() - began
        self._work_s += 0.2 * (job.work_s - self._work_s)
        job.done.set_result((transcript, answer))


def _heard(recognizer: Recognizer, job: Job) -> Transcript:
    """The transcript; its segments are handed over as they come when someone listens."""
    if job.on_segment is None:
        return recognizer.transcribe(
            job.file,
            options=job.options,
            audio_sha256=job.audio_sha256,
            cancelled=job.stop.is_set,
        )
    steps = recognizer.segments(
        job.file, options=job.options, audio_sha256=job.audio_sha256, cancelled=job.stop.is_set
    )
    while True:
        try:
            segment = next(steps)
        except StopIteration as end:
            transcript: Transcript = end.value
            return transcript
        job.on_segment(segment)


def _copy(error: GlagolError) -> GlagolError:
    """The same error without a traceback: one that is raised again and again must not grow."""
    return type(error)(error.code, error.message, error.remedy)
