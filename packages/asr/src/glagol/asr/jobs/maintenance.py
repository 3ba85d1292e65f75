"""Maintain the queue: notify about orphaned jobs, delete expired data, sample metrics."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from glagol.asr.inference import malloc
from glagol.asr.jobs.payload import KIND, NOTIFY
from glagol.asr.jobs.service import Sample
from glagol.core import journal
from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.jobs.queue import Claim, LeaseLostError, Trouble
from glagol.jobs.states import Event
from glagol.jobs.webhooks import payload

if TYPE_CHECKING:
    from glagol.asr.jobs.service import Jobs

__all__ = ["Janitor"]

WAIT_S: Final = 1.0
LOOK_S: Final = 5.0
SWEEP_S: Final = 30.0
LEASE_S: Final = 30.0
_PAGE: Final = 200
_PAGES_MAX: Final = 10


class Janitor:
    """The maintenance thread of the queue and the inputs.

    Args:
        jobs: The queue and the inputs.
        worker: This process's name in the queue.
    """

    def __init__(self, jobs: Jobs, *, worker: str) -> None:
        self._jobs = jobs
        self._worker = worker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)

    def start(self) -> None:
        """Begin, with a sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Stop soon. Returns at once."""
        self._stopping.set()

    def join(self, patience_s: float) -> None:
        """Wait for the end."""
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        looked_s = swept_s = float("-inf")
        warned = False
        while not self._stopping.is_set():
            now = time.monotonic()
            try:
                if now - looked_s >= LOOK_S:
                    looked_s = now
                    self._jobs.sample = self._look()
                    warned = warned or self._warn()
                if now - swept_s >= SWEEP_S:
                    swept_s = now
                    malloc.give_back()
                    self._jobs.sweep()
                self._notify_about_orphans()
            except HostError:
                if self._jobs.sample.reachable:
                    self._jobs.sample = Sample(reachable=False)
                self._stopping.wait(WAIT_S)
            except Exception:  # noqa: BLE001 - the thread outlives bugs; the log has the traceback
                journal.write("unexpected exception", level=logging.ERROR, error=True)
                self._stopping.wait(WAIT_S)

    def _look(self) -> Sample:
        shared = self._jobs.queue
        depths = {kind: shared.depth(kind) for kind in (KIND, payload.KIND)}
        return Sample(True, depths, self._oldest_s())

    def _warn(self) -> bool:
        """Log once which guarantees of the queue this set-up cannot keep."""
        if caveat := self._jobs.queue.caveat():
            journal.write("the queue may lose jobs", level=logging.WARNING, reason=caveat)
        return True

    def _oldest_s(self) -> float:
        """Seconds that the oldest waiting job has waited; of the newest two thousand at least."""
        oldest, before = None, ""
        for _ in range(_PAGES_MAX):
            try:
                page = self._jobs.queue.page(kind=KIND, state="queued", before=before, limit=_PAGE)
            except InputError:  # the last of the page before was forgotten meanwhile
                break
            if page:
                oldest, before = page[-1], page[-1].id
            if len(page) < _PAGE:
                break
        return max(0.0, self._jobs.clock() - oldest.created_s) if oldest else 0.0

    def _notify_about_orphans(self) -> None:
        """Send the webhooks of jobs that ended without a worker."""
        claim = self._jobs.queue.claim(self._worker, [NOTIFY], LEASE_S)
        if claim is None:
            self._jobs.queue.wait([NOTIFY], WAIT_S)
            return
        with contextlib.suppress(LeaseLostError):
            self._notify(claim)

    def _notify(self, claim: Claim) -> None:
        shared = self._jobs.queue
        try:
            dead = shared.get(claim.job.payload.decode())
        except InputError:  # the job expired: no webhook can be sent
            shared.finish(claim, b"")
            return
        event: Event = (
            "transcription.cancelled" if dead.state == "cancelled" else "transcription.failed"
        )
        try:
            follow = self._jobs.notices(dead, event, trouble=dead.trouble)
        except IntegrityError as error:  # it names a webhook that a newer program can read
            trouble = Trouble(error.code, error.message, error.remedy)
            shared.fail(claim, trouble, LEASE_S if error.code == "state_too_new" else None)
            return
        shared.finish(claim, b"", follow)
        self._jobs.settle(dead)
