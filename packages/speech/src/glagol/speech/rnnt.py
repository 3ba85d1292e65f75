"""Greedy RNN-T decoding (Graves 2012) in numpy, several frames and several recordings at a time.

Per emission the prediction network runs once; per frame without one only the joint does:

    score[c] = sum_j relu(encoded[t, j] + predicted[j]) * out[c, j] + bias[c]

What makes it fast. The encoder's side of the joint is already in the encoder graph. The input side
of the LSTM is a table lookup, since its input is an embedding: row c of
`embed @ weight_ih.T + bias`. As the prediction does not change over blanks, `BLOCK` frames are
scored at once; the first that is not blank counts, the ones after it are scored again with the new
prediction. As sigmoid(x) = (1 + tanh(x / 2)) / 2, one tanh serves all gates when the halves are
already in the weights. And recordings go side by side, each at a frame of its own, so that one
round of numpy calls serves them all (label looping: Bataev et al. 2024, arXiv 2406.06220).

A recording's result does not depend on what is beside it, to the last bit: every product is made of
products of BLOCK rows and TILE columns, whatever the number of rows. Those are small enough for
BLAS to stay on the calling thread, so neither does it depend on the number of BLAS threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from glagol.speech.types import Array, Emission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Indices: TypeAlias = npt.NDArray[np.int64]

BLOCK = 4
TILE = 132
"""Columns per product: 4 x 132 x 321 multiplications stay below OpenBLAS's 2^18 for threads."""

NEVER = -1e30
"""Score of the classes that fill the last tile."""


class Transducer:
    """The head of an RNN-T model: prediction network, joint, greedy search.

    Args:
        tensors: `embed` [C, P], `lstm.weight_ih` [4P, P], `lstm.weight_hh` [4P, P], `lstm.bias`
            [4P] (gates i f g o), `joint.pred.weight` [J, P], `joint.pred.bias` [J],
            `joint.out.weight` [C, J], `joint.out.bias` [C]; float32.
        blank: index of the blank class.
        max_symbols: emissions per frame at most; upstream's torch code has 10.
    """

    def __init__(self, tensors: Mapping[str, Array], blank: int, max_symbols: int) -> None:
        self._blank = blank
        self._max_symbols = max_symbols
        half = _sigmoid_halves(len(tensors["lstm.bias"]))
        bias = tensors["lstm.bias"] * half
        self._input = tensors["embed"] @ tensors["lstm.weight_ih"].T * half + bias
        self._recurrent = _tiles(tensors["lstm.weight_hh"].T * half)
        self._pred_weight = _tiles(tensors["joint.pred.weight"].T)
        self._pred_bias = tensors["joint.pred.bias"]
        out, out_bias = tensors["joint.out.weight"], tensors["joint.out.bias"]
        self._classes, self._joint = out.shape
        self._out = _tiles(np.vstack([out.T, out_bias]), fill=NEVER)
        zero = np.zeros((1, len(bias) // 4), np.float32)
        self._start = self._step(bias[np.newaxis], zero, zero)

    def greedy(self, encoded: Array) -> list[Emission]:
        """Decode one recording.

        Args:
            encoded: float32 [T, J], the joint's projection of the encoder output, valid frames.

        Returns:
            Emissions by rising frame, at most `max_symbols` on one frame; never blank.
        """
        total = len(encoded)
        frames = self._laid_out([encoded])[0]
        hidden, cell, predicted = self._start
        emissions: list[Emission] = []
        frame = symbols = 0
        while frame < total:
            scores = self._scores((frames[frame : frame + BLOCK] + predicted)[np.newaxis])[0]
            best = scores.argmax(axis=1)
            speaking = (best != self._blank).nonzero()[0]
            ahead = int(speaking[0]) if len(speaking) else BLOCK
            if ahead:
                symbols = 0
            frame += ahead
            if ahead == BLOCK or frame >= total:
                continue
            label = best[ahead : ahead + 1]
            (logprob,) = _log_softmax(scores[ahead : ahead + 1], label)
            emissions.append(Emission(int(label[0]), frame, logprob))
            hidden, cell, predicted = self._step(self._input[label], hidden, cell)
            symbols += 1
            if symbols == self._max_symbols:
                frame, symbols = frame + 1, 0
        return emissions

    def greedy_batch(self, encoded: Sequence[Array]) -> list[list[Emission]]:
        """Decode recordings side by side; each gets exactly what `greedy` gives it.

        Args:
            encoded: float32 [T, J] of each recording; lengths may differ, 0 is allowed.

        Returns:
            Emissions of each recording, as `greedy` has them.
        """
        frames, starts, ends = self._laid_out(encoded)
        emissions: list[list[Emission]] = [[] for _ in encoded]
        hidden, cell, predicted = (np.repeat(part, len(starts), axis=0) for part in self._start)
        at, symbols = starts.copy(), np.zeros(len(starts), np.int64)
        block = np.arange(BLOCK)
        active = np.flatnonzero(at < ends)
        while len(active):
            rows = frames[at[active, np.newaxis] + block] + predicted[active, np.newaxis]
            scores = self._scores(rows)
            best = scores.argmax(axis=2)
            ahead = _blanks(best != self._blank)
            at[active] += ahead
            symbols[active[ahead > 0]] = 0
            speaking = np.flatnonzero((ahead < BLOCK) & (at[active] < ends[active]))
            if len(speaking):
                who, where = active[speaking], ahead[speaking]
                labels = best[speaking, where]
                logprobs = _log_softmax(scores[speaking, where], labels)
                said = zip(labels.tolist(), (at - starts)[who].tolist(), logprobs, strict=True)
                for clip, emission in zip(who.tolist(), said, strict=True):
                    emissions[clip].append(Emission(*emission))
                state = self._step(self._input[labels], hidden[who], cell[who])
                hidden[who], cell[who], predicted[who] = state
                symbols[who] += 1
                full = who[symbols[who] == self._max_symbols]
                at[full] += 1
                symbols[full] = 0
            active = active[at[active] < ends[active]]
        return emissions

    def _laid_out(self, encoded: Sequence[Array]) -> tuple[Array, Indices, Indices]:
        """All frames [sum of T + BLOCK, J + 1] with a one behind each; first rows, end rows."""
        lengths = np.array([len(each) for each in encoded], np.int64)
        starts = np.cumsum(lengths + BLOCK) - lengths - BLOCK
        frames = np.zeros((int((lengths + BLOCK).sum()), self._joint + 1), np.float32)
        for start, each in zip(starts.tolist(), encoded, strict=True):
            frames[start : start + len(each), :-1] = each
        frames[:, -1] = 1.0  # carries the bias through the rectifier
        return frames, starts, starts + lengths

    def _scores(self, hidden: Array) -> Array:
        """Joint of rows [A, BLOCK, J + 1] before the rectifier -> [A, BLOCK, C + fill]."""
        np.maximum(hidden, 0.0, out=hidden)
        return _product(hidden, self._out)

    def _step(self, gates: Array, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        """One LSTM step of N states.

        `gates` [N, 4P] is the input's share (i f g o, halved but g), `hidden` and `cell` are
        [N, P]. Returns both anew, and the joint's side of the prediction [N, J + 1].
        """
        curves = np.tanh(gates + _rows(hidden, self._recurrent, gates.shape[1]))
        curves = curves.reshape(len(gates), 4, -1)
        take, keep, show = (0.5 + 0.5 * curves[:, gate] for gate in (0, 1, 3))
        cell = keep * cell + take * curves[:, 2]
        hidden = show * np.tanh(cell)
        predicted = np.zeros((len(gates), self._joint + 1), np.float32)
        predicted[:, :-1] = _rows(hidden, self._pred_weight, self._joint) + self._pred_bias
        return hidden, cell, predicted


def _product(blocks: Array, tiles: Array) -> Array:
    """Product of row blocks [A, BLOCK, K] with a matrix in tiles -> [A, BLOCK, M + fill]."""
    found = np.empty((*blocks.shape[:2], len(tiles), TILE), np.float32)
    np.matmul(blocks[:, np.newaxis], tiles, out=found.transpose(0, 2, 1, 3))
    return found.reshape(*blocks.shape[:2], -1)


def _rows(rows: Array, tiles: Array, columns: int) -> Array:
    """Product of rows [N, K] with a matrix in tiles -> [N, columns], as `_product` makes it."""
    count = -(-len(rows) // BLOCK)
    blocks = np.zeros((count, BLOCK, rows.shape[1]), np.float32)
    blocks.reshape(-1, rows.shape[1])[: len(rows)] = rows
    return _product(blocks, tiles).reshape(count * BLOCK, -1)[: len(rows), :columns]


def _blanks(speaks: npt.NDArray[np.bool_]) -> Indices:
    """Blanks before the first true of each row [A, BLOCK]; BLOCK if there is none."""
    found: Indices = np.where(speaks.any(axis=1), speaks.argmax(axis=1), speaks.shape[1])
    return found


def _sigmoid_halves(gates: int) -> Array:
    """Factors [4P] that put the half of sigmoid's argument into the gates i, f and o."""
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), gates // 4)


def _tiles(matrix: Array, fill: float = 0.0) -> Array:
    """A matrix [K, M] as [tiles, K, TILE]; columns past its end are zero but for `fill` below."""
    rows, columns = matrix.shape
    count = -(-columns // TILE)
    full = np.zeros((rows, count * TILE), np.float32)
    full[:, :columns] = matrix
    full[-1, columns:] = fill
    return np.ascontiguousarray(full.reshape(rows, count, TILE).transpose(1, 0, 2))


def _log_softmax(scores: Array, labels: Indices) -> list[float]:
    """Log of the probability of one label in each row [N, C]."""
    peaks = scores.max(axis=1)
    totals = np.log(np.exp(scores - peaks[:, np.newaxis]).sum(axis=1))
    found: list[float] = (scores[np.arange(len(labels)), labels] - peaks - totals).tolist()
    return found
