"""Delivers webhooks: claims jobs of kind `deliver`, sends, and says what came of it.

What was tried is kept with the job, as times and outcomes. Several deliveries run side by side, so
that a receiver that never answers delays nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from glagol.core.errors import HostError, IntegrityError
from glagol.jobs.backoff import DELIVERY
from glagol.jobs.queue import Claim, Job, LeaseLostError, Queue, Trouble
from glagol.jobs.webhooks.payload import KIND, Delivery, read
from glagol.jobs.webhooks.send import Outcome, Terms, send, trust
from glagol.jobs.webhooks.ssrf import Resolver, system_resolver

__all__ = ["Attempt", "Deliverer", "attempts_of"]

PARALLEL_MAX: Final = 16
WAIT_S: Final = 1.0
LEASE_MARGIN_S: Final = 30.0
ATTEMPTS_KEPT: Final = 100
_LOGGER: Final = logging.getLogger("glagol")
_SEPARATOR: Final = "; "

Told = Callable[[Delivery, Outcome, float, float], None]


class Attempt(msgspec.Struct, frozen=True):
    """A try: when (UTC, ISO 8601), and what came of it (`Outcome.said`)."""

    at: str
    outcome: str


class _Result(msgspec.Struct, frozen=True):
    attempts: list[Attempt]


def attempts_of(job: Job, result: bytes | None) -> list[Attempt]:
    """Every try of a delivery, the oldest first.

    Args:
        job: Of kind `deliver`.
        result: What the queue keeps for it; None until it was taken.
    """
    if result is not None:
        return msgspec.json.decode(result, type=_Result).attempts
    trouble = job.trouble
    if trouble is None or not trouble.code.startswith("webhook_"):
        return []
    pairs = (item.partition(" ") for item in trouble.message.split(_SEPARATOR))
    return [Attempt(at, outcome) for at, _, outcome in pairs]


class Deliverer:
    """The thread that delivers.

    Args:
        queue: Where deliveries wait.
        terms: Asked before every try.
        worker: This process's name in the queue.
        told: Called after every try with the delivery, its outcome, and the Unix seconds when it
            began and ended; for metrics and traces. Must not raise.
        resolve: From name and port to addresses.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        terms: Callable[[], Terms],
        *,
        worker: str,
        told: Told = lambda *_: None,
        resolve: Resolver = system_resolver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._terms = terms
        self._worker = worker
        self._told = told
        self._resolve = resolve
        self._clock = clock
        self._tls = trust()
        self._stop = threading.Event()
        self._grace_s = 0.0
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="deliverer", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self, grace_s: float) -> None:
        """Claim no more; let tries under way end for `grace_s`, then give their jobs back."""
        self._grace_s = grace_s
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(grace_s + 2 * WAIT_S)

    async def _run(self) -> None:
        # each delivery may hold a thread for its name lookup, and none may wait for another's
        threads = ThreadPoolExecutor(2 * PARALLEL_MAX, thread_name_prefix="deliverer")
        asyncio.get_running_loop().set_default_executor(threads)
        tasks: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            if len(tasks) >= PARALLEL_MAX:
                await asyncio.wait(tasks, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
                continue
            claim = await self._claimed()
            if claim is not None:
                task = asyncio.create_task(self._deliver(claim))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _claimed(self) -> Claim | None:
        """The next delivery; None after waiting for one in vain."""
        try:
            lease_s = self._terms().timeout_s + LEASE_MARGIN_S
            claim = await asyncio.to_thread(self._queue.claim, self._worker, [KIND], lease_s)
            if claim is None:
                await asyncio.to_thread(self._queue.wait, [KIND], WAIT_S)
        except HostError as error:
            _log(logging.WARNING, "deliveries wait for the queue", code=error.code)
        except Exception:  # the thread outlives bugs; the log has the traceback
            _LOGGER.exception("unexpected exception")
        else:
            return claim
        await asyncio.sleep(WAIT_S)
        return None

    async def _deliver(self, claim: Claim) -> None:
        job = claim.job
        try:
            if job.cancelling:
                await asyncio.to_thread(self._queue.stop, claim)
                return
            try:
                delivery = read(job.payload)
            except IntegrityError as error:
                await asyncio.to_thread(self._refuse, claim, error)
                return
            began_s = self._clock()
            try:
                outcome = await send(
                    delivery, job.id, began_s, self._terms(), tls=self._tls, resolve=self._resolve
                )
            except asyncio.CancelledError:
                self._queue.release(claim)
                raise
            self._told(delivery, outcome, began_s, self._clock())
            await asyncio.to_thread(self._settle, claim, delivery, outcome, began_s)
        except LeaseLostError:
            _log(logging.WARNING, "delivery was overtaken", delivery=job.id)
        except HostError as error:  # its lease runs out, and it is tried again
            _log(logging.WARNING, "delivery's outcome not stored", delivery=job.id, code=error.code)
        except Exception:  # one bad delivery must not end the others
            _LOGGER.exception("unexpected exception", extra={"fields": {"delivery": job.id}})

    def _refuse(self, claim: Claim, error: IntegrityError) -> None:
        """Leave a delivery to a newer program that can read it; without one it fails."""
        job = claim.job
        _log(
            logging.WARNING,
            "delivery",
            delivery=job.id,
            outcome=error.code,
            attempt=job.attempt,
            message=error.message,
        )
        trouble = Trouble(error.code, error.message, error.remedy)
        again_s = DELIVERY.pause_s(job.attempt) if error.code == "state_too_new" else None
        self._queue.fail(claim, trouble, again_s)

    def _settle(self, claim: Claim, delivery: Delivery, outcome: Outcome, at_s: float) -> None:
        """Store the outcome with those before it."""
        job = claim.job
        now = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
        attempts = [*attempts_of(job, None), Attempt(now.replace("+00:00", "Z"), outcome.said)]
        attempts = attempts[-ATTEMPTS_KEPT:]
        _log(
            logging.INFO,
            "delivery",
            delivery=job.id,
            job=delivery.job_id,
            outcome=outcome.said,
            attempt=job.attempt,
        )
        if outcome.verdict == "taken":
            self._queue.finish(claim, msgspec.json.encode(_Result(attempts)))
            return
        again_s = None
        if outcome.verdict == "again":
            tries = job.attempt - (job.attempts_max - delivery.attempts)
            again_s = DELIVERY.pause_s(max(1, tries), outcome.retry_after_s)
        trouble = Trouble(
            "webhook_refused" if outcome.said == "refused" else "webhook_failed",
            _SEPARATOR.join(f"{attempt.at} {attempt.outcome}" for attempt in attempts),
            "see that the receiver answers 2xx, then replay the delivery",
        )
        self._queue.fail(claim, trouble, again_s)


def _log(level: int, event: str, **fields: Any) -> None:
    """One line in the form of the service's journal, which this package does not know."""
    _LOGGER.log(level, event, extra={"fields": fields})
