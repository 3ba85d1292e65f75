"""Pieces of a recording that hold one person, from the classes of overlapping windows.

A window's local speakers have no names outside it, and one local speaker may be several people
where turns are short. So nothing is concluded from names: speech is cut wherever the local speaker
changes, and each piece has its voice measured alone.
"""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Final

import numpy as np

from glagol.speech.speakers.frames import ACTIVE, FRAMES, Numbers, Run, runs

__all__ = ["Labels", "cut"]

_ORDERS: Final = [list(order) for order in permutations(range(3))]
_WEIGHTS: Final[Numbers] = np.array([1, 2, 4])
BRIDGE: Final = 5
"""Frames of silence that do not end a piece: 84 ms."""


class Labels:
    """Windows in, the labels of frames out: the set of local speakers of the nearest window.

    The local speakers of each window are renamed to agree best with the window before, so that a
    label changes where a speaker changes and not where a window ends.

    Args:
        step: frames between two windows.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._lead = (FRAMES - step) // 2
        self._before: Numbers | None = None

    def push(self, classes: Numbers, *, last: bool) -> Numbers:
        """Take the next window's classes uint8 [589]; give the labels that are decided with it.

        Args:
            classes: of the window.
            last: whether no window follows.

        Returns:
            int8 [n], bits 1, 2, 4 for the local speakers; of the frames that follow those given
            before: up to the middle between this window and the next, or to this one's end.
        """
        active = ACTIVE[classes]
        start = self._lead
        if self._before is None:
            start = 0
        else:
            common = self._before[self._step :]
            agreed = [
                int((active[: len(common), order] & common).sum())
                - int((active[: len(common), order] ^ common).sum())
                for order in _ORDERS
            ]
            active = active[:, _ORDERS[int(np.argmax(agreed))]]
        self._before = active
        end = FRAMES if last else self._lead + self._step
        labels: Numbers = (active[start:end] @ _WEIGHTS).astype(np.int8)
        return labels


def cut(labels: Numbers, longest: int) -> list[Run]:
    """Cut labels int8 [n] into pieces of one local speaker, in order.

    Args:
        labels: as `Labels` gives them.
        longest: frames; longer runs are cut into equal pieces.
    """
    found: list[Run] = []
    for bit in (1, 2, 4):
        mask = labels == bit
        for gap in runs(labels == 0):
            inside = gap.start > 0 and gap.end < len(labels) and len(gap) <= BRIDGE
            if inside and mask[gap.start - 1] and mask[gap.end]:
                mask[gap.start : gap.end] = True
        for run in runs(mask):
            parts = -(-len(run) // longest)
            edges = [run.start + len(run) * part // parts for part in range(parts + 1)]
            found += [Run(a, b) for a, b in pairwise(edges)]
    return sorted(found, key=lambda run: run.start)
