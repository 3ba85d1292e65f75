"""Divide the cores between the threads of one inference and concurrent inferences."""

from __future__ import annotations

from typing import Final

from glagol.core.cores import usable

__all__ = ["divide", "usable"]

THREADS: Final = 4
"""Of one inference by default: about 25 % of it is serial, so more gain little (Amdahl)."""

CARD_WORKERS: Final = 16
"""Callers of a card: while eight windows are computed, the next eight gather. Not measured."""


def divide(threads: int, cores: int, device: str = "cpu") -> tuple[int, int]:
    """Threads of a session, and workers that call it.

    All workers call one session, so the weights are in memory once. Each brings its own thread,
    and the session's pool serves all: a lone inference uses all `threads`, concurrent ones little
    more than their own. Measured with a model of full size in int8, 20 s chunks, on two cores:

        workers   threads   ms per chunk, never idle   ms for a chunk alone
           1         2                 214                     214
           2         2                 188                     214
           2         1                 171                     333

    So by default two threads shorten a lone request and a second worker fills the gaps;
    `ASR_THREADS=1` gives the highest throughput under constant load. For more than two cores the
    rule follows from these figures and is not measured.

    Args:
        threads: `ASR_THREADS`; 0 lets the rule decide.
        cores: that this process may use.
        device: "cpu" or "cuda".
    """
    threads = threads or min(cores, THREADS)
    if device == "cuda":
        return threads, CARD_WORKERS
    return threads, max(min(cores, 2), cores - threads + 1)
