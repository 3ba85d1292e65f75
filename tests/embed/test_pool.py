"""Requests take turns, a failed or abandoned one harms no other, and the end is clean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from glagol.core.errors import HostError
from glagol.embed.engine import Embedder
from glagol.embed.pool import Pool

IDS = [0, 5, 6, 2]
PATIENCE_S = 30.0


class Gate:
    """A real session behind a gate; notes in which order it was asked."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.open = threading.Event()
        self.seen: list[int] = []

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> Any:
        """As the session, once the gate is open; the second id 7 fails."""
        if threading.current_thread().name.startswith("embed-"):
            assert self.open.wait(PATIENCE_S)
            self.seen.append(int(feeds["input_ids"][0][1]))
            if feeds["input_ids"][0][1] == 7:
                raise RuntimeError("the session broke")
        return self._session.run(names, feeds)


def until(what: Callable[[], Any]) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def gate(embedder: Embedder) -> Gate:
    """The session of the made-up encoder, held back."""
    return Gate(embedder.session)


@pytest.fixture
def pool(embedder: Embedder, gate: Gate) -> Any:
    """A pool of one thread that is ready."""
    made = Pool(lambda: replace(embedder, session=gate), 1)
    made.start()
    until(lambda: made.trouble is None)
    yield made
    gate.open.set()
    made.close(PATIENCE_S)


def test_a_short_request_does_not_wait_for_a_long_one(pool: Pool, gate: Gate) -> None:
    """Two texts come after one text each of the long one, which keeps its order."""
    long = pool.submit([[0, 10 + n, 2] for n in range(8)])
    until(lambda: pool.waiting == 7)
    short = pool.submit([[0, 30, 2], [0, 31, 2]])
    gate.open.set()
    assert short.result(PATIENCE_S).shape == (2, 64)
    assert long.result(PATIENCE_S).shape == (8, 64)
    assert gate.seen == [10, 11, 30, 12, 31, 13, 14, 15, 16, 17]
    assert (pool.texts, pool.tokens, pool.waiting) == (10, 30, 0)


def test_vectors_come_in_the_order_of_their_texts(pool: Pool, gate: Gate, embedder: Any) -> None:
    """Row by row those of the engine."""
    gate.open.set()
    rows = [[0, 10 + n, 2] for n in range(5)]
    found = pool.submit(rows).result(PATIENCE_S)
    assert found.tobytes() == np.stack([embedder.vector(ids) for ids in rows]).tobytes()


def test_a_broken_or_abandoned_request_harms_no_other(pool: Pool, gate: Gate) -> None:
    """The error reaches the request that asked; an abandoned one is not computed to its end."""
    gone = pool.submit([[0, 20, 2], [0, 21, 2], [0, 22, 2]])
    until(lambda: pool.waiting == 2)
    broken = pool.submit([[0, 5, 2], [0, 7, 2], [0, 7, 2]])
    right = pool.submit([IDS])
    assert gone.cancel()
    gate.open.set()
    assert right.result(PATIENCE_S).shape == (1, 64)
    with pytest.raises(RuntimeError, match="broke"):
        broken.result(PATIENCE_S)
    with pytest.raises(CancelledError):
        gone.result(PATIENCE_S)
    assert {21, 22}.isdisjoint(gate.seen)
    assert pool.submit([IDS]).result(PATIENCE_S).shape == (1, 64)


def test_closing_ends_what_has_not_begun(embedder: Embedder, gate: Gate) -> None:
    """What waits is refused, and nothing new is taken."""
    pool = Pool(lambda: replace(embedder, session=gate), 1)
    with pytest.raises(HostError, match="verified and loaded"):
        pool.embedder()
    pool.start()
    until(lambda: pool.trouble is None)
    waiting = pool.submit([IDS] * 3)
    until(lambda: pool.waiting == 2)
    pool.close(0.1)
    with pytest.raises(HostError, match="stops"):
        waiting.result(PATIENCE_S)
    with pytest.raises(HostError, match="stops"):
        pool.submit([IDS])
    gate.open.set()


def test_a_model_that_cannot_be_opened_says_why() -> None:
    """The pool keeps the opener's error and computes nothing."""

    def opener() -> Embedder:
        raise HostError("provider_missing", "no card here", "use cpu")

    pool = Pool(opener, 1)
    pool.start()
    until(lambda: pool.trouble is not None and pool.trouble.code == "provider_missing")
    with pytest.raises(HostError, match="no card"):
        pool.submit([IDS])
    pool.close(1)
