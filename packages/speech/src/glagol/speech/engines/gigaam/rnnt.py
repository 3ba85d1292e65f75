"""Greedy RNN-T decoding (Graves 2012) in numpy, several frames and several recordings at a time.

Per emission the prediction network runs once; per frame without one only the joint does:

    score[c] = sum_j relu(encoded[t, j] + predicted[j]) * out[c, j] + bias[c]

What makes it fast. The encoder's side of the joint is already in the encoder graph. The input side
of the LSTM is a table lookup, since its input is an embedding: row c of
`embed @ weight_ih.T + bias`. What follows from a new hidden state, its side of the joint and of the
next gates, is one product. As the prediction does not change over blanks, `BLOCK` frames are scored
at once; the first that is not blank counts, the ones after it are scored again with the new
prediction. As sigmoid(x) = (1 + tanh(x / 2)) / 2, one tanh serves all gates when the halves are
already in the weights. And recordings go side by side, each at a frame of its own, so that one
round of numpy calls serves them all (label looping: Bataev et al. 2024, arXiv 2406.06220).

A recording's result does not depend on what is beside it, to the last bit: every product is made of
products of BLOCK rows and TILE columns, whatever the number of rows. Those are small enough for
BLAS to stay on the calling thread, so neither does it depend on the number of BLAS threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from glagol.speech.types import Array, Emission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Indices: TypeAlias = npt.NDArray[np.int64]

BLOCK = 4
TILE = 64
"""Columns per product: 4 x 64 x 321 multiplications stay below OpenBLAS's 2^18 for threads."""

LINE = 64
"""Bytes of a cache line; with rows of tiles on its borders the products take 0.7 of the time."""

NEVER = -1e30
"""Score of the classes that fill the last tile."""


@dataclass(slots=True)
class _Clip:
    """A recording under way; `at` and `end` are rows among the frames of all recordings."""

    start: int
    end: int
    at: int
    symbols: int = 0
    emissions: list[Emission] = field(default_factory=list)

    def skip(self, labels: Sequence[int], blank: int) -> int | None:
        """Skip blanks; index of the first other label in `labels` (the next frames), or None."""
        place, ahead = 0, min(len(labels), self.end - self.at)
        while place < ahead and labels[place] == blank:
            place += 1
        if place:
            self.at, self.symbols = self.at + place, 0
        return place if place < ahead else None

    def say(self, label: int, logprob: float, max_symbols: int) -> None:
        """Emit at the frame where it is."""
        self.emissions.append(Emission(label, self.at - self.start, logprob))
        self.symbols += 1
        if self.symbols == max_symbols:
            self.at, self.symbols = self.at + 1, 0


class Transducer:
    """The head of an RNN-T model: prediction network, joint, greedy search.

    Args:
        tensors: `embed` [C, P], `lstm.weight_ih` [4P, P], `lstm.weight_hh` [4P, P], `lstm.bias`
            [4P] (gates i f g o), `joint.pred.weight` [J, P], `joint.pred.bias` [J],
            `joint.out.weight` [C, J], `joint.out.bias` [C]; float32.
        blank: index of the blank class.
        max_symbols: emissions per frame at most; upstream's torch code has 10.

    Attributes:
        blank: index of the blank class.
        max_symbols: emissions per frame at most.
    """

    def __init__(self, tensors: Mapping[str, Array], blank: int, max_symbols: int) -> None:
        self.blank = blank
        self.max_symbols = max_symbols
        half = _sigmoid_halves(len(tensors["lstm.bias"]))
        bias = tensors["lstm.bias"] * half
        self._input = tensors["embed"] @ tensors["lstm.weight_ih"].T * half + bias
        self._out = _tiles(tensors["joint.out.weight"], tensors["joint.out.bias"], fill=NEVER)
        recurrent = tensors["lstm.weight_hh"] * half[:, np.newaxis]
        self._next = _tiles(
            np.vstack([recurrent, tensors["joint.pred.weight"]]),
            np.concatenate([np.zeros_like(bias), tensors["joint.pred.bias"]]),
        )
        self._gates, self._joint = len(bias), len(tensors["joint.pred.bias"])
        self._start = self._step(bias[np.newaxis], np.zeros((1, len(bias) // 4), np.float32))

    def greedy(self, encoded: Array) -> list[Emission]:
        """Decode one recording.

        Args:
            encoded: float32 [T, J], the joint's projection of the encoder output, valid frames.

        Returns:
            Emissions by rising frame, at most `max_symbols` on one frame; never blank.
        """
        return self.greedy_batch([encoded])[0]

    def greedy_batch(self, encoded: Sequence[Array]) -> list[list[Emission]]:
        """Decode recordings side by side; each gets exactly what it gets alone.

        Args:
            encoded: float32 [T, J] of each recording; lengths may differ, 0 is allowed.

        Returns:
            Emissions of each recording, as `greedy` has them.
        """
        clips, blocks = self._laid_out(encoded)
        active = [clip for clip in clips if clip.at < clip.end]
        cell, ahead = (np.repeat(part, len(active), axis=0) for part in self._start)
        hidden = np.ones((len(active), BLOCK, self._joint + 1), np.float32)
        while active:
            hidden = hidden[: len(active)]  # the ones in its last column stay: they carry the bias
            near = blocks[[clip.at for clip in active]].reshape(len(active), BLOCK, -1)
            np.add(near, ahead[:, np.newaxis, self._gates :], out=hidden[..., :-1])
            scores = _product(np.maximum(hidden, 0.0, out=hidden), self._out)
            speaking = self._skip(active, scores.argmax(axis=2).tolist())
            if speaking:
                rows, where, labels = np.array(speaking).T
                logprobs = _log_softmax(scores[rows, where], labels)
                for (clip, _, label), logprob in zip(speaking, logprobs, strict=True):
                    active[clip].say(label, logprob, self.max_symbols)
                gates = self._input[labels] + ahead[rows, : self._gates]
                cell[rows], ahead[rows] = self._step(gates, cell[rows])
            left = [place for place, clip in enumerate(active) if clip.at < clip.end]
            if len(left) < len(active):
                active, cell, ahead = [active[place] for place in left], cell[left], ahead[left]
        return [clip.emissions for clip in clips]

    @property
    def start(self) -> tuple[Array, Array]:
        """The state before any label: cell [1, P], what follows [1, 4P + J]; see `after`."""
        return self._start

    def after(self, labels: Sequence[int], state: tuple[Array, Array]) -> tuple[Array, Array]:
        """The states after one more label each: cells [N, P], what follows [N, 4P + J]."""
        cell, ahead = state
        return self._step(self._input[labels] + ahead[:, : self._gates], cell)

    def scores(self, frames: Array, state: tuple[Array, Array]) -> Array:
        """Scores of all classes, then of none [N, BLOCK, C + fill].

        `frames` [N, BLOCK, J] of the encoder stand before the N states.
        """
        hidden = np.ones((*frames.shape[:2], self._joint + 1), np.float32)
        np.add(frames, state[1][:, np.newaxis, self._gates :], out=hidden[..., :-1])
        return _product(np.maximum(hidden, 0.0, out=hidden), self._out)

    def _laid_out(self, encoded: Sequence[Array]) -> tuple[list[_Clip], Array]:
        """The recordings, and for each frame of all the next ones [sum of T + 1, BLOCK * J]."""
        gap = np.zeros((BLOCK, self._joint), np.float32)
        frames = np.concatenate([part for each in encoded for part in (each, gap)] or [gap])
        ends = np.cumsum([len(each) + BLOCK for each in encoded], dtype=np.int64) - BLOCK
        clips = [
            _Clip(end - len(each), end, end - len(each))
            for each, end in zip(encoded, ends.tolist(), strict=True)
        ]
        return clips, sliding_window_view(frames.reshape(-1), gap.size)[:: self._joint]

    def _skip(
        self, active: Sequence[_Clip], best: Sequence[Sequence[int]]
    ) -> list[tuple[int, int, int]]:
        """Advance each recording to its next label, if that is near: (recording, frame, label)."""
        speaking = []
        for place, (clip, labels) in enumerate(zip(active, best, strict=True)):
            where = clip.skip(labels, self.blank)
            if where is not None:
                speaking.append((place, where, labels[where]))
        return speaking

    def _step(self, gates: Array, cell: Array) -> tuple[Array, Array]:
        """One LSTM step of N states.

        `gates` [N, 4P] (i f g o, halved but g), `cell` [N, P]. Returns the new cell, and what
        follows from the new hidden state [N, 4P + J]: its share of the next gates, and its side of
        the joint.
        """
        count = len(gates)
        curves: Array = np.tanh(gates).reshape(count, 4, -1)
        take, keep, show = (0.5 + 0.5 * curves[:, gate] for gate in (0, 1, 3))
        cell = keep * cell + take * curves[:, 2]
        rows = np.ones((-(-count // BLOCK), BLOCK, cell.shape[1] + 1), np.float32)
        np.multiply(show, np.tanh(cell), out=rows.reshape(-1, rows.shape[2])[:count, :-1])
        found = _product(rows, self._next).reshape(rows.shape[0] * BLOCK, -1)
        return cell, found[:count, : self._gates + self._joint]


def _product(blocks: Array, tiles: Array) -> Array:
    """Product of row blocks [A, BLOCK, K] with a matrix in tiles -> [A, BLOCK, M + fill]."""
    found = np.empty((*blocks.shape[:2], len(tiles), TILE), np.float32)
    np.matmul(blocks[:, np.newaxis], tiles, out=found.transpose(0, 2, 1, 3))
    return found.reshape(*blocks.shape[:2], -1)


def _sigmoid_halves(gates: int) -> Array:
    """Factors [4P] that put the half of sigmoid's argument into the gates i, f and o."""
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), gates // 4)


def _tiles(weight: Array, bias: Array, fill: float = 0.0) -> Array:
    """Weight [M, K] and bias [M] as the matrix [K + 1, M] in tiles [tiles, K + 1, TILE].

    Columns past M give `fill` where the last value of a row is 1.
    """
    columns, inner = weight.shape
    count = -(-columns // TILE)
    whole = np.zeros((inner + 1, count * TILE), np.float32)
    whole[:-1, :columns], whole[-1, :columns] = weight.T, bias
    whole[-1, columns:] = fill
    room = np.empty(whole.nbytes + LINE, np.uint8)
    room = room[-room.ctypes.data % LINE :][: whole.nbytes]
    tiles = room.view(np.float32).reshape(count, inner + 1, TILE)
    tiles[...] = whole.reshape(inner + 1, count, TILE).transpose(1, 0, 2)
    return tiles


def _log_softmax(scores: Array, peaks: Indices) -> list[float]:
    """Log of the probability of each row's best class, `peaks` [N]; spoils `scores` [N, C]."""
    scores -= scores[np.arange(len(peaks)), peaks, np.newaxis]
    found: list[float] = (-np.log(np.exp(scores, out=scores).sum(axis=1))).tolist()
    return found
