"""Counts that several threads add to lose nothing."""

from __future__ import annotations

import threading
import time

from glagol.asr.observability.counts import Counts

THREADS, TIMES = 4, 20


class SlowName(str):
    """A name that lets other threads run whenever a mapping looks for it."""

    __slots__ = ()

    def __hash__(self) -> int:
        """As of any string, a moment later."""
        time.sleep(0.0005)
        return str.__hash__(self)

    __eq__ = str.__eq__


def test_no_count_is_lost() -> None:
    """Each thread's every addition counts, though each is interrupted half-way."""
    counts, together = Counts(), threading.Barrier(THREADS)

    def add() -> None:
        together.wait()
        for _ in range(TIMES):
            counts.add(SlowName("done"))

    threads = [threading.Thread(target=add) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.add("again")
    assert counts.items() == [("again", 1), ("done", THREADS * TIMES)]
