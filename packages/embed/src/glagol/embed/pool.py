"""Compute vectors in threads; requests take turns, text by text.

Each thread takes one text of the first request in the queue, and the request moves to the end of
the queue. So a request with two thousand texts does not delay a request with one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from glagol.core.errors import GlagolError, HostError
from glagol.embed.engine import proven

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.embed.engine import Embedder

__all__ = ["Pool"]


@dataclass(eq=False)
class _Request:
    """A request: its texts as token ids, its progress, and the future of its result."""

    rows: Sequence[Sequence[int]]
    future: Future[NDArray[np.float32]] = field(default_factory=Future)
    vectors: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    begun: int = 0


class Pool:
    """Opens a model and computes vectors with it in threads.

    Args:
        opener: opens the model; called once, in a thread.
        workers: threads; each computes one text at a time.
    """

    def __init__(self, opener: Callable[[], Embedder], workers: int) -> None:
        self._opener = opener
        self._workers = workers
        self._turns: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._embedder: Embedder | None = None
        self._trouble: GlagolError = HostError(
            "not_ready", "the model is being verified and loaded", "ask again in a few seconds"
        )
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.texts = 0
        self.tokens = 0

    @property
    def trouble(self) -> GlagolError | None:
        """The error that stops the pool from computing now; None while it can compute."""
        return self._trouble if self._embedder is None or self._closed else None

    @property
    def waiting(self) -> int:
        """Texts that no thread has begun."""
        with self._changed:
            return sum(len(each.rows) - each.begun for each in self._turns)

    def embedder(self) -> Embedder:
        """The open model.

        Raises:
            GlagolError: the error of `trouble`.
        """
        if self._embedder is None or self._closed:
            raise self._trouble
        return self._embedder

    def start(self) -> None:
        """Start a thread that opens the model and then starts the workers; returns at once."""
        self._begin("open", self._open)

    def submit(self, rows: Sequence[Sequence[int]]) -> Future[NDArray[np.float32]]:
        """Queue a request for the vectors of token ids; the future's result is float32 [N, D].

        Cancelling the future removes the texts that no thread has begun.

        Raises:
            GlagolError: nothing can be computed now.
        """
        self.embedder()
        request = _Request(rows)
        with self._changed:
            self._turns.append(request)
            self._changed.notify(min(len(rows), self._workers))
        return request.future

    def close(self, patience_s: float) -> None:
        """Accept no more requests, and wait up to `patience_s` seconds for those in the queue."""
        with self._changed:
            self._closed = True
            self._trouble = HostError("not_ready", "the server stops", "ask another one")
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(patience_s / len(self._threads))
        with self._changed:
            left, self._turns = list(self._turns), deque()
        for request in left:
            self._settle(request, self._trouble)

    def _begin(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _open(self) -> None:
        try:
            embedder = proven(self._opener())
        except GlagolError as error:
            self._trouble = error
            return
        self._embedder = embedder
        for number in range(self._workers):
            self._begin(f"embed-{number}", lambda: self._work(embedder))

    def _work(self, embedder: Embedder) -> None:
        while (turn := self._next()) is not None:
            request, number = turn
            try:
                vector = embedder.vector(request.rows[number])
            except Exception as error:  # noqa: BLE001 - the request that asked must hear of it
                self._settle(request, error)
                continue
            with self._changed:
                self.texts += 1
                self.tokens += len(request.rows[number])
                request.vectors[number] = vector
                whole = len(request.vectors) == len(request.rows)
            if whole:
                result = np.stack([request.vectors[n] for n in range(len(request.rows))])
                self._settle(request, result)

    def _next(self) -> tuple[_Request, int] | None:
        """The next text to compute; None when the pool is closed and nothing is left."""
        with self._changed:
            while True:
                while self._turns:
                    request = self._turns.popleft()
                    if request.future.done():  # cancelled, or failed
                        continue
                    number = request.begun
                    request.begun += 1
                    if request.begun < len(request.rows):
                        self._turns.append(request)
                    return request, number
                if self._closed:
                    return None
                self._changed.wait()

    def _settle(self, request: _Request, outcome: NDArray[np.float32] | Exception) -> None:
        """Set the result [N, D] or the exception of a request, unless it has ended already."""
        with self._changed:
            future = request.future
            if future.done() or not future.set_running_or_notify_cancel():
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
