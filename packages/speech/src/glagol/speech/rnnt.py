"""Greedy RNN-T decoding (Graves 2012) in numpy, several frames at a time.

Per emission the prediction network runs once; per frame without one only the joint does:

    score[c] = sum_j relu(encoded[t, j] + predicted[j]) * out[c, j] + bias[c]

Four things make it fast. The encoder's side of the joint is already in the encoder graph. The
input side of the LSTM is a table lookup, since its input is an embedding: row c of
`embed @ weight_ih.T + bias`. And as the prediction does not change over blanks, `BLOCK` frames are
scored at once; the first that is not blank counts, the ones after it are scored again with the new
prediction. And since sigmoid(x) = (1 + tanh(x / 2)) / 2, one tanh serves all gates when the halves
are already in the weights.

The product over classes is done in tiles small enough for BLAS to stay on the calling thread, and
always with BLOCK rows, so the scores do not depend on the number of BLAS threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.types import Array, Emission

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 4
TILE = 132
"""Classes per product: 4 x 132 x 321 multiplications stay below OpenBLAS's 2^18 for threads."""

NEVER = np.float32(-1e30)
"""Score of the classes that fill the last tile."""


@dataclass(frozen=True, slots=True)
class State:
    """Prediction network after some labels: hidden and cell [P], joint's side of it [J + 1]."""

    hidden: Array
    cell: Array
    predicted: Array


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
        self._recurrent = np.ascontiguousarray(tensors["lstm.weight_hh"].T * half)
        self._pred_weight = np.ascontiguousarray(tensors["joint.pred.weight"].T)
        self._pred_bias = tensors["joint.pred.bias"]
        out, out_bias = tensors["joint.out.weight"], tensors["joint.out.bias"]
        self._classes, self._joint = out.shape
        self._out = _tiles(out, out_bias)
        zero = np.zeros(len(bias) // 4, np.float32)
        self._start = self._step(bias, zero, zero)

    def greedy(self, encoded: Array) -> list[Emission]:
        """Decode one recording.

        Args:
            encoded: float32 [T, J], the joint's projection of the encoder output, valid frames.

        Returns:
            Emissions by rising frame, at most `max_symbols` on one frame; never blank.
        """
        total = len(encoded)
        frames = np.zeros((total + BLOCK, self._joint + 1), np.float32)
        frames[:total, :-1] = encoded
        frames[:, -1] = 1.0  # carries the bias through the rectifier
        emissions: list[Emission] = []
        state = self._start
        frame = symbols = 0
        while frame < total:
            scores = self._scores(frames[frame : frame + BLOCK], state.predicted)
            best = scores.argmax(axis=1)
            speaking = (best != self._blank).nonzero()[0]
            ahead = int(speaking[0]) if len(speaking) else BLOCK
            if ahead:
                symbols = 0
            frame += ahead
            if ahead == BLOCK or frame >= total:
                continue
            label = int(best[ahead])
            emissions.append(Emission(label, frame, _log_softmax(scores[ahead], label)))
            state = self._step(self._input[label], state.hidden, state.cell)
            symbols += 1
            if symbols == self._max_symbols:
                frame, symbols = frame + 1, 0
        return emissions

    def _scores(self, frames: Array, predicted: Array) -> Array:
        """Joint of BLOCK frames [BLOCK, J + 1] and one prediction [J + 1] -> [BLOCK, C + fill]."""
        hidden = frames + predicted
        np.maximum(hidden, 0.0, out=hidden)
        tiles = np.matmul(hidden, self._out)
        scores: Array = tiles.transpose(1, 0, 2).reshape(BLOCK, -1)
        return scores

    def _step(self, gates: Array, hidden: Array, cell: Array) -> State:
        """One LSTM step from the input's share of the gates [4P] (i f g o, halved but g)."""
        curves = np.tanh(gates + hidden @ self._recurrent).reshape(4, -1)
        take, keep, _, show = 0.5 + 0.5 * curves
        cell = keep * cell + take * curves[2]
        hidden = show * np.tanh(cell)
        predicted = np.zeros(self._joint + 1, np.float32)
        predicted[:-1] = hidden @ self._pred_weight + self._pred_bias
        return State(hidden, cell, predicted)


def _sigmoid_halves(gates: int) -> Array:
    """Factors [4P] that put the half of sigmoid's argument into the gates i, f and o."""
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), gates // 4)


def _tiles(out: Array, bias: Array) -> Array:
    """Output layer as [tiles, J + 1, TILE], the bias as the last row of each."""
    classes, joint = out.shape
    count = -(-classes // TILE)
    full = np.zeros((joint + 1, count * TILE), np.float32)
    full[:-1, :classes] = out.T
    full[-1, :classes] = bias
    full[-1, classes:] = NEVER
    return np.ascontiguousarray(full.reshape(joint + 1, count, TILE).transpose(1, 0, 2))


def _log_softmax(scores: Array, label: int) -> float:
    peak = scores.max()
    return float(scores[label] - peak - np.log(np.exp(scores - peak).sum()))
