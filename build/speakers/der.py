"""Diarization error rate: missed speech, false alarms and confused speakers over all speech.

Speakers are mapped one to one so that the common time is greatest (all ways are tried; from ten
speakers on the largest pairs are taken one after the other). Overlapped speech counts for each
speaker. A collar is left out on both sides of every boundary of the answer. Source: NIST Rich
Transcription 2009, md-eval.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

Turns = list[tuple[float, float, str]]
RATE = 1000
"""Frames a second: times have three digits."""


@dataclass(frozen=True)
class Errors:
    """Seconds of each kind, and of the answer's speech."""

    total: float
    missed: float
    false: float
    confused: float

    @property
    def rate(self) -> float:
        """The diarization error rate."""
        return (self.missed + self.false + self.confused) / self.total

    def __add__(self, other: Errors) -> Errors:
        """Of two recordings together."""
        return Errors(
            self.total + other.total,
            self.missed + other.missed,
            self.false + other.false,
            self.confused + other.confused,
        )


def read(path: Path) -> Turns:
    """Turns of a file in RTTM: start, end, name."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [(float(r[3]), float(r[3]) + float(r[4]), r[7]) for r in rows]


def errors(answer: Turns, found: Turns, collar: float) -> Errors:
    """Compare turns with the answer; `collar` in seconds, on each side of a boundary."""
    end = max([b for _, b, _ in [*answer, *found]], default=0.0)
    size = round(end * RATE) + 1
    truth, guess = _grid(answer, size), _grid(found, size)
    scored = np.ones(size, bool)
    for a, b, _ in answer if collar else ():
        for at in (a, b):
            scored[max(0, round((at - collar) * RATE)) : round((at + collar) * RATE)] = False
    truth, guess = truth[:, scored], guess[:, scored]
    common = truth.astype(float) @ guess.T.astype(float)
    right = np.zeros(truth.shape[1])
    for i, j in _mapping(common):
        right += truth[i] & guess[j]
    many, guessed = truth.sum(axis=0), guess.sum(axis=0)
    return Errors(
        total=float(many.sum()) / RATE,
        missed=float(np.maximum(many - guessed, 0).sum()) / RATE,
        false=float(np.maximum(guessed - many, 0).sum()) / RATE,
        confused=float((np.minimum(many, guessed) - right).sum()) / RATE,
    )


def _grid(turns: Turns, size: int) -> np.ndarray:
    names = sorted({name for _, _, name in turns})
    grid = np.zeros((len(names), size), bool)
    for a, b, name in turns:
        grid[names.index(name), round(a * RATE) : round(b * RATE)] = True
    return grid


def _mapping(common: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows and columns with the greatest sum."""
    rows, columns = common.shape
    if rows > columns:
        return [(i, j) for j, i in _mapping(common.T)]
    if columns > 9:
        pairs, left = [], common.copy()
        for _ in range(rows):
            i, j = np.unravel_index(left.argmax(), left.shape)
            pairs.append((int(i), int(j)))
            left[i], left[:, j] = -1, -1
        return pairs
    ways = permutations(range(columns), rows)
    best = max(ways, key=lambda way: sum(common[i, j] for i, j in enumerate(way)))
    return list(enumerate(best))
