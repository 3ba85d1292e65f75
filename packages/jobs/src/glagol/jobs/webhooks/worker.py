"""Deliver webhooks: claim jobs of kind `deliver`, send them, and store the outcome.

Times and outcomes of all tries are kept with the job. Several deliveries run in parallel. Each
owner has a share of them, so that one owner's receivers that never answer do not delay another's: a
delivery that finds no place within `PARKED_S` goes back to the queue for `PUT_OFF_S`, and the
attempt does not count. Without keys, the name of the receiver stands for the owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import msgspec

from glagol.core.errors import HostError, IntegrityError
from glagol.core.executors import call
from glagol.core.shares import ALONE, Shares
from glagol.jobs.backoff import DELIVERY
from glagol.jobs.queue import Claim, Job, LeaseLostError, Queue, Trouble
from glagol.jobs.webhooks.payload import KIND, Delivery, read
from glagol.jobs.webhooks.send import Outcome, WebhookSettings, send, trust
from glagol.jobs.webhooks.ssrf import Resolver, system_resolver

__all__ = ["Attempt", "Deliverer", "attempts_of"]

PARALLEL_MAX: Final = 16
PARKED_MAX: Final = 64
PARKED_S: Final = 2.0
PUT_OFF_S: Final = 15.0
QUEUE_THREADS: Final = 8
WAIT_S: Final = 1.0
LOOK_S: Final = 0.05
LEASE_MARGIN_S: Final = 30.0
ATTEMPTS_KEPT: Final = 100
_LOGGER: Final = logging.getLogger("glagol")
_SEPARATOR: Final = "; "

P = ParamSpec("P")
T = TypeVar("T")
OnTry = Callable[[Delivery, Outcome, float, float], None]


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
        settings: Asked before every try.
        worker: This process's name in the queue.
        on_try: Called after every try with the delivery, its outcome, and the Unix seconds when it
            began and ended; for metrics and traces. Must not raise.
        resolve: From name and port to addresses; None asks the system.
        alone: The part of the deliveries that one owner may have alone.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        settings: Callable[[], WebhookSettings],
        *,
        worker: str,
        on_try: OnTry = lambda *_: None,
        resolve: Resolver | None = None,
        alone: float = ALONE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._worker = worker
        self._on_try = on_try
        self._threads = ThreadPoolExecutor(QUEUE_THREADS, thread_name_prefix="deliverer")
        # each delivery may hold a thread for its name lookup, and none may wait for another's
        self._names = ThreadPoolExecutor(2 * PARALLEL_MAX, thread_name_prefix="names")
        self._resolve = resolve or system_resolver(self._names)
        self._places = Shares(PARALLEL_MAX, "deliveries of webhooks", alone)
        self._left = asyncio.Event()  # set when a place is given back
        self._clock = clock
        self._tls = trust()
        self._stop = threading.Event()
        self._end_s = math.inf  # when tries that are under way are given up, monotonic
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="deliverer", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Claim no more; tries in flight continue. Returns immediately."""
        self._stop.set()

    def close(self, grace_s: float) -> None:
        """Claim no more; wait `grace_s` for tries in flight, then give their jobs back."""
        self._end_s = time.monotonic() + grace_s
        self.stop()
        if self._thread.is_alive():
            self._thread.join(grace_s + 2 * WAIT_S)

    async def _run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            if len(tasks) >= PARALLEL_MAX + PARKED_MAX:
                await asyncio.wait(tasks, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
                continue
            claim = await self._claimed()
            if claim is not None:
                task = asyncio.create_task(self._placed(claim))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        while tasks and time.monotonic() < self._end_s:
            await asyncio.wait(tasks, timeout=LOOK_S)
        late = list(tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for pool in (self._threads, self._names):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _claimed(self) -> Claim | None:
        """The next delivery; None after waiting for one in vain."""
        try:
            lease_s = self._settings().timeout_s + LEASE_MARGIN_S
            claim = await self._in_thread(self._queue.claim, self._worker, [KIND], lease_s)
            if claim is None:
                await self._in_thread(self._queue.wait, [KIND], WAIT_S)
        except HostError as error:
            _log(logging.WARNING, "deliveries wait for the queue", code=error.code)
        except Exception:  # the thread outlives bugs; the log has the traceback
            _LOGGER.exception("unexpected exception")
        else:
            return claim
        await asyncio.sleep(WAIT_S)
        return None

    async def _placed(self, claim: Claim) -> None:
        """Deliver in a place of the owner's share, or put the delivery off."""
        job = claim.job
        try:
            if job.cancelling:
                await self._in_thread(self._queue.stop, claim)
                return
            try:
                delivery = read(job.payload)
            except IntegrityError as error:
                await self._in_thread(self._refuse, claim, error)
                return
            try:
                tried = await self._tried(job, delivery)
            except asyncio.CancelledError:
                self._queue.release(claim)
                raise
            if tried is None:
                await self._in_thread(self._queue.release, claim, PUT_OFF_S)
            else:
                await self._in_thread(self._settle, claim, delivery, *tried)
        except LeaseLostError:
            _log(logging.WARNING, "delivery was overtaken", delivery=job.id)
        except HostError as error:  # its lease runs out, and it is tried again
            _log(logging.WARNING, "delivery's outcome not stored", delivery=job.id, code=error.code)
        except Exception:  # one bad delivery must not end the others
            _LOGGER.exception("unexpected exception", extra={"fields": {"delivery": job.id}})

    async def _place(self, owner: str) -> bool:
        """Wait for a place of the owner's share; whether there was one in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARKED_S):
                while not self._places.offer(owner):
                    self._left.clear()
                    await self._left.wait()
                return True
        return False

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await call(self._threads, function, *args, **kwargs)

    async def _tried(self, job: Job, delivery: Delivery) -> tuple[Outcome, float] | None:
        """Outcome of one try and its start in Unix seconds; None without a place for it."""
        owner = job.owner or f"@{urlsplit(delivery.url).netloc}"
        if not await self._place(owner):
            return None
        try:
            began_s = self._clock()
            outcome = await send(
                delivery, job.id, began_s, self._settings(), tls=self._tls, resolve=self._resolve
            )
            self._on_try(delivery, outcome, began_s, self._clock())
            return outcome, began_s
        finally:
            self._places.leave(owner)
            self._left.set()

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
