"""Greedy CTC decoding (Graves et al. 2006): best class of each frame, runs merged, blanks removed.

The frame of a token is the first of its run, as upstream has it; its probability is the highest of
the run, since the first frame of a run is where the network is least sure.
"""

from __future__ import annotations

import numpy as np

from glagol.speech.types import Array, Emission


def greedy(log_probs: Array, blank: int) -> list[Emission]:
    """Decode one recording.

    Args:
        log_probs: float32 [T, C], natural logarithms of class probabilities, only valid frames.
        blank: index of the blank class.

    Returns:
        Emissions by rising frame; never blank.
    """
    if not len(log_probs):
        return []
    best = log_probs.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    peaks = np.maximum.reduceat(log_probs[np.arange(len(best)), best], starts)
    return [
        Emission(int(best[start]), int(start), float(peak))
        for start, peak in zip(starts, peaks, strict=True)
        if best[start] != blank
    ]
