"""What a ranking is worth: recall, reciprocal rank and nDCG of one question.

Recall is the share of the right turns among the first k, of at most k. nDCG has gain 1 for a right
turn (Jaervelin and Kekaelaeinen, 2002).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

__all__ = ["NAMES", "measured"]

DEPTHS: Final = (1, 5, 10)
NAMES: Final = (*(f"recall@{k}" for k in DEPTHS), "MRR", "nDCG@10")


def measured(ranking: Sequence[object], gold: Collection[object]) -> tuple[float, ...]:
    """The values of `NAMES`, each from 0 to 1; an empty ranking has 0 everywhere."""
    right = [each in gold for each in ranking]
    recalls = [sum(right[:k]) / min(k, len(gold)) for k in DEPTHS]
    first = right.index(True) + 1 if True in right else math.inf
    gained = sum(1 / math.log2(n + 2) for n, hit in enumerate(right[: DEPTHS[-1]]) if hit)
    best = sum(1 / math.log2(n + 2) for n in range(min(DEPTHS[-1], len(gold))))
    return (*recalls, 1 / first, gained / best)
