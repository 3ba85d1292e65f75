"""Align tokens with the audio by the attention of the decoder (`whisper/timing.py` upstream).

Some heads of the decoder look at the sound of the token that comes next. Their attention over the
frames, normalised over the tokens and smoothed over the frames, is a map of tokens and frames; the
best monotone path through it says which frames belong to a token. The path is found by dynamic time
warping (H. Sakoe, S. Chiba, 1978), a row at a time: the least cost of a cell that is reached along
its row is a running minimum of costs less their running sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glagol.speech.types import Array

__all__ = ["attention", "median7", "path", "starts"]

SCALE: Final = np.float32(1 / 8)
"""One by the root of a head's width."""

TILE: Final = 16
"""Frames of a product; one that small always runs on the calling thread, with the same bits."""

WIDTH: Final = 7
"""Frames of the median filter."""

NETWORK: Final = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3),
    (3, 4),
)  # fmt: skip
"""Comparisons after which the fourth of seven values is their median (N. Devillard, 1998)."""


def attention(queries: Array, keys: Sequence[Array]) -> Array:
    """The map of tokens and frames.

    Args:
        queries: float32 [tokens, heads, 64].
        keys: of each head, float32 [frames, 64]; the frames of the speech alone.

    Returns:
        Smoothed z-scores of the attention, mean of the heads, float32 [tokens, frames].
    """
    count = len(keys[0])
    total = np.zeros((len(queries), count), np.float32)
    for head, values in enumerate(keys):
        tiles = np.zeros((-(-count // TILE), TILE, values.shape[1]), np.float32)
        tiles.reshape(-1, values.shape[1])[:count] = values
        products = np.matmul(queries[:, head], tiles.transpose(0, 2, 1))
        scores = products.transpose(1, 0, 2).reshape(len(queries), -1)[:, :count] * SCALE
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights = odds / odds.sum(axis=1, keepdims=True)
        spread = weights.std(axis=0, keepdims=True)
        scored = (weights - weights.mean(axis=0, keepdims=True)) / np.where(spread > 0, spread, 1)
        total += median7(scored)
    mean: Array = total / np.float32(len(keys))
    return mean


def median7(values: Array) -> Array:
    """The median of 7 neighbours along the last axis [..., n], mirrored at the ends."""
    if values.shape[-1] <= WIDTH // 2:
        return values
    half = WIDTH // 2
    edges = [(0, 0)] * (values.ndim - 1)
    mirrored = np.pad(values, [*edges, (half, half)], "reflect")
    count = values.shape[-1]
    lanes = [mirrored[..., at : at + count] for at in range(WIDTH)]
    for low, high in NETWORK:
        lanes[low], lanes[high] = (
            np.minimum(lanes[low], lanes[high]),
            np.maximum(lanes[low], lanes[high]),
        )
    middle: Array = lanes[half]
    return middle


def path(costs: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest monotone path from the first cell to the last.

    Of equal ways it takes the one along the row, as upstream does.

    Args:
        costs: [rows, columns], at least one of each.

    Returns:
        Rows and columns of its cells, both int64 [cells], in order.
    """
    rows, columns = costs.shape
    exact = costs.astype(np.float64)
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0, 0] = 0.0
    for row in range(rows):
        sums = np.cumsum(exact[row])
        entered = np.minimum(best[row, :-1], best[row, 1:])
        before = np.concatenate([[0.0], sums[:-1]])
        best[row + 1, 1:] = np.minimum.accumulate(entered - before) + sums
    row, column = rows, columns
    cells = []
    while row > 0 or column > 0:
        cells.append((row - 1, column - 1))
        diagonal, up, left = best[row - 1, column - 1], best[row - 1, column], best[row, column - 1]
        if diagonal < up and diagonal < left:
            row, column = row - 1, column - 1
        elif up < diagonal and up < left:
            row -= 1
        else:
            column -= 1
    found = np.array(cells[::-1], np.int64)
    return found[:, 0], found[:, 1]


def starts(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first column of every row of a path, int64 [rows]."""
    return columns[np.flatnonzero(np.diff(rows, prepend=-1))]
