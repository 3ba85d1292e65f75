"""Hold a claim while the model works: renew the lease, write progress, notice cancellation.

It has a thread of its own, so that a long chunk does not delay the lease, nor a slow queue the
model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from glagol.core import journal
from glagol.core.errors import HostError, InputError
from glagol.jobs.queue import Claim, LeaseLostError, Queue

if TYPE_CHECKING:
    from glagol.speech.types import Progress

__all__ = ["TICK_S", "LeaseRenewer"]

TICK_S: Final = 0.5


class LeaseRenewer:
    """The holder of one claim; a context manager.

    Args:
        queue: Where the claim is from.
        claim: What is held.
        give_up: Called in the renewer's thread, maybe more than once, when the work is to stop.

    Attributes:
        cancelled: Whether the job was asked to stop.
        lost: Whether the claim was overtaken.
    """

    def __init__(self, queue: Queue, claim: Claim, give_up: Callable[[], None]) -> None:
        self._queue = queue
        self._claim = claim
        self._give_up = give_up
        self._seen: Progress | None = None
        self._written: Progress | None = None
        self._renewed_s = time.monotonic()
        self._silent = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="renewer", daemon=True)
        self.cancelled = False
        self.lost = False

    def __enter__(self) -> Self:
        """Start to renew."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to renew."""
        self._over.set()
        self._thread.join()

    def note(self, progress: Progress) -> None:
        """Remember how far the work is; called in the inference thread, never waits."""
        self._seen = progress

    def _keep(self) -> None:
        while not self._over.wait(TICK_S):
            try:
                runs = self._held()
                self._silent = False
            except (LeaseLostError, InputError):
                self.lost = True
                self._give_up()
                return
            except HostError as error:  # the work continues: the queue may answer again in time
                self._complain(error)
                continue
            if not runs:
                self.cancelled = True
                self._give_up()

    def _held(self) -> bool:
        """Whether the job should continue, by the cheapest sufficient call."""
        seen, claim, now = self._seen, self._claim, time.monotonic()
        if seen is not None and seen is not self._written:
            runs = self._queue.progress(claim, seen.done_s, seen.total_s)
            self._written = seen
        elif now - self._renewed_s >= claim.lease_s / 3:
            runs = self._queue.renew(claim)
        else:
            job = self._queue.get(claim.job.id)
            if job.state != "running" or job.attempt != claim.job.attempt:
                raise LeaseLostError(job.id)
            return not job.cancelling
        self._renewed_s = now
        return runs

    def _complain(self, error: HostError) -> None:
        if not self._silent:
            self._silent = True
            journal.write(
                "the queue does not answer, the job continues",
                level=logging.WARNING,
                job_id=self._claim.job.id,
                code=error.code,
            )
