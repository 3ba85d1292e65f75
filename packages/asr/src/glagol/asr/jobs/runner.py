"""Claim jobs and transcribe them on the engine's long lane.

A job with a wrong input fails immediately. A failure of the machine is retried with growing pauses.
A process that stops gives its job back. If the process dies, the lease expires and another worker
gets the job.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from glagol.asr.http import rendering
from glagol.asr.inference import tasks
from glagol.asr.jobs.lease import LeaseRenewer
from glagol.asr.jobs.payload import KIND, Work
from glagol.core import journal
from glagol.core.errors import GlagolError, HostError, InputError, IntegrityError, LimitError
from glagol.jobs.backoff import TRANSCRIPTION
from glagol.jobs.queue import Claim, Job, LeaseLostError, Trouble
from glagol.web.tracing import Timeline

if TYPE_CHECKING:
    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.jobs.service import Jobs
    from glagol.speech.audio.jail.pool import Jail
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.types import Options, Transcript

__all__ = ["Runner"]

WAIT_S: Final = 1.0
ROOM_S: Final = 30.0
"""How long a job waits for room for its model before its runner takes another job."""
_FINAL: Final = (InputError, LimitError, IntegrityError)
_RELEASED: Final = frozenset({"not_ready", "cancelled", "queue_full", "busy"})


class Runner:
    """The thread that works on one job at a time.

    Args:
        jobs: Where they come from.
        engine: What transcribes.
        jail: What opens recordings.
        options: The recogniser's options for an order.
        worker: This process's name in the queue.
    """

    def __init__(
        self,
        jobs: Jobs,
        engine: InferencePool,
        jail: Jail,
        options: Callable[[Work], Options],
        *,
        worker: str,
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._jail = jail
        self._options = options
        self._worker = worker
        self._stopping = threading.Event()
        self._silent = False
        self._thread = threading.Thread(target=self._run, name="runner", daemon=True)

    def start(self) -> None:
        """Start to claim."""
        self._thread.start()

    def stop(self) -> None:
        """Claim no more. The running job ends, or is given back when the engine stops it."""
        self._stopping.set()

    def join(self, patience_s: float) -> None:
        """Wait until the running job is settled."""
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                claim = self._claimed()
                self._silent = False
                if claim is not None:
                    self._attempt(claim)
            except HostError as error:
                if not self._silent:
                    journal.write("jobs wait for the queue", level=logging.WARNING, code=error.code)
                self._silent = True
                self._stopping.wait(WAIT_S)
            except Exception:  # noqa: BLE001 - the thread outlives bugs; the log has the traceback
                journal.write("unexpected exception", level=logging.ERROR, error=True)
                self._stopping.wait(WAIT_S)

    def _claimed(self) -> Claim | None:
        if self._engine.trouble is not None:  # other processes, whose model is open, claim them
            self._stopping.wait(WAIT_S / 4)
            return None
        lease_s = self._jobs.policy().jobs.lease_s
        claim = self._jobs.queue.claim(self._worker, [KIND], lease_s)
        if claim is None:
            self._jobs.queue.wait([KIND], WAIT_S)
        return claim

    def _attempt(self, claim: Claim) -> None:
        began = time.monotonic()
        try:
            work = Work.decoded(claim.job.payload)
        except IntegrityError as error:
            self._refused(claim, error)
            return
        note: dict[str, Any] = {"model": work.model, "request_id": work.request_id}
        stop, timeline, began_s = threading.Event(), Timeline(), self._jobs.clock()
        with LeaseRenewer(self._jobs.queue, claim, stop.set) as renewer:
            try:
                stored_form = self._transcribed(claim, work, renewer, stop, note, timeline)
            except Exception as error:  # noqa: BLE001 - it becomes the job's trouble
                job = self._gave_up(claim, renewer, error, note)
            else:
                job = self._finished(claim, stored_form, note["audio_s"])
        outcome = "overtaken"
        if job is not None:
            self._jobs.settle(job)
            outcome = "again" if job.state == "queued" else str(job.state)
        wall_s = time.monotonic() - began
        if outcome == "done":
            self._jobs.throughput.note(note["audio_s"], wall_s)
        self._jobs.attempts.add(outcome)
        self._jobs.worked(claim.job, work, began_s, note, timeline)
        journal.write(
            "job",
            job_id=claim.job.id,
            attempt=claim.job.attempt,
            outcome=outcome,
            total_s=round(wall_s, 3),
            **note,
        )

    def _refused(self, claim: Claim, error: IntegrityError) -> None:
        """Leave a job to a newer worker that can read it; without one it fails."""
        trouble = Trouble(error.code, error.message, error.remedy)
        newer = error.code == "state_too_new"
        pause_s = TRANSCRIPTION.pause_s(claim.job.attempt) if newer else None
        job = self._settled(claim, lambda: self._jobs.queue.fail(claim, trouble, pause_s))
        outcome = "overtaken" if job is None else "again" if job.state == "queued" else job.state
        self._jobs.attempts.add(outcome)
        journal.write(
            "job",
            level=logging.WARNING,
            job_id=claim.job.id,
            attempt=claim.job.attempt,
            outcome=outcome,
            code=error.code,
            message=error.message,
        )

    def _transcribed(
        self,
        claim: Claim,
        work: Work,
        renewer: LeaseRenewer,
        stop: threading.Event,
        note: dict[str, Any],
        timeline: Timeline,
    ) -> bytes:
        """The stored form of the transcript, made on the engine's long lane."""
        options = self._options(work)
        file, source = self._opened(claim, options, stop)
        order = tasks.Job(
            file=file,
            source=source,
            audio_sha256=work.audio_sha256,
            model=work.model,
            options=options,
            render=rendering.stored,
            lane="long",
            stop=stop,
            on_progress=renewer.note,
            timeline=timeline,
        )
        try:
            self._engine.put(order)
        except BaseException:
            file.close()
            source.close()
            raise
        transcript, stored = self._result(order)
        self._jobs.audit.transcribed(
            transcript, request=work.request_id, job=claim.job.id, owner=claim.job.owner
        )
        note.update(_log_fields(order, transcript))
        if not work.summarize:
            return stored
        with timeline.phase("summary"):
            return self._summarised(stored, stop, note)

    def _opened(
        self, claim: Claim, options: Options, stop: threading.Event
    ) -> tuple[BinaryIO, AudioSource]:
        """The input and its audio, opened here: the engine does not wait for a slow file."""
        file = self._jobs.inputs.open(claim.job.id)
        try:
            return file, self._jail.open(
                file,
                max_seconds=options.max_audio_s,
                split=options.channel == "split",
                track=options.track,
                cancelled=lambda: stop.is_set() or self._stopping.is_set(),
                owner=claim.job.owner,
            )
        except BaseException:
            file.close()
            raise

    def _summarised(self, stored: bytes, stop: threading.Event, note: dict[str, Any]) -> bytes:
        """The stored form with its summary, or with the reason why there is none."""
        from glagol.asr import summary_client

        section = self._jobs.policy().summaries
        began = time.monotonic()
        whole = summary_client.added(
            stored,
            section.url,
            key=section.key,
            cancelled=lambda: stop.is_set() or self._stopping.is_set(),
        )
        note["summary_s"] = round(time.monotonic() - began, 3)
        note["summary"] = whole.code
        return whole.data

    def _result(self, order: tasks.Job) -> tuple[Transcript, bytes]:
        """Wait; an order that is stopped, or finds no room for its model, leaves the lane.

        Raises:
            CancelledError: It left the lane; the job goes back to the queue.
        """
        began = time.monotonic()

        def given_up() -> bool:
            no_room = order.slot is None and order.steps is None
            return order.stop.is_set() or (no_room and time.monotonic() - began > ROOM_S)

        return tasks.value_of(order, WAIT_S / 2, given_up)

    def _finished(self, claim: Claim, stored: bytes, audio_s: float) -> Job | None:
        shared = self._jobs.queue
        follow = self._jobs.notices(claim.job, "transcription.completed", result=stored)

        def write() -> Job:
            shared.progress(claim, audio_s, audio_s)
            return shared.finish(claim, stored, follow)

        return self._settled(claim, write)

    def _gave_up(
        self, claim: Claim, renewer: LeaseRenewer, error: Exception, note: dict[str, Any]
    ) -> Job | None:
        """End an attempt without a transcript; None when its lease was lost."""
        shared, notices = self._jobs.queue, self._jobs.notices
        cancelled = isinstance(error, CancelledError)
        note["code"] = "cancelled" if cancelled else getattr(error, "code", "internal")
        if renewer.lost:
            return None
        if renewer.cancelled:
            follow = notices(claim.job, "transcription.cancelled")
            return self._settled(claim, lambda: shared.stop(claim, follow))
        if cancelled or (isinstance(error, GlagolError) and error.code in _RELEASED):
            job = self._settled(claim, lambda: shared.release(claim))
            self._stopping.wait(WAIT_S)  # else it would be ours again at once
            return job
        if isinstance(error, GlagolError):
            trouble = Trouble(error.code, error.message, error.remedy)
        else:
            trouble = Trouble("internal", "internal error", "report the job's id")
            journal.write(
                "unexpected exception", level=logging.ERROR, error=True, job_id=claim.job.id
            )
        retry_s = None if isinstance(error, _FINAL) else TRANSCRIPTION.pause_s(claim.job.attempt)
        failed = notices(claim.job, "transcription.failed", trouble=trouble)
        return self._settled(claim, lambda: shared.fail(claim, trouble, retry_s, failed))

    def _settled(self, claim: Claim, write: Callable[[], Job]) -> Job | None:
        """Write the end of an attempt, however long the queue is away; None when overtaken."""
        while True:
            try:
                return write()
            except LeaseLostError:
                return None
            except HostError as error:
                journal.write(
                    "the end of a job waits for the queue",
                    level=logging.WARNING,
                    job_id=claim.job.id,
                    code=error.code,
                )
                if self._stopping.wait(WAIT_S):
                    raise


def _log_fields(order: tasks.Job, transcript: Transcript) -> dict[str, Any]:
    """Fields of the log line about a transcript, without its text."""
    return {
        "wait_s": round(order.wait_s, 3),
        "work_s": round(order.work_s, 3),
        "audio_s": transcript.duration_s,
        "manifest_version": transcript.provenance.manifest_version,
        "provenance": transcript.provenance,
    }
