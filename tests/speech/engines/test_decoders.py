"""Greedy CTC and RNN-T against their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.engines.gigaam import rnnt
from glagol.speech.engines.gigaam.ctc import greedy
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.types import Array, Emission


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 2**31))
def test_ctc_merges_runs_and_drops_blanks(path: list[int], seed: int) -> None:
    blank = 4
    scores = np.random.default_rng(seed).uniform(-9, -5, (len(path), 5)).astype(np.float32)
    peaks = np.random.default_rng(seed + 1).uniform(-2, -0.1, len(path)).astype(np.float32)
    scores[np.arange(len(path)), path] = peaks
    expected: list[Any] = []
    for frame, label in enumerate(path):
        if frame and path[frame - 1] == label:
            if label != blank:
                last = expected[-1]
                best = max(last.logprob, float(peaks[frame]))
                expected[-1] = Emission(label, last.frame, best)
        elif label != blank:
            expected.append(Emission(label, frame, float(peaks[frame])))
    assert greedy(scores, blank) == expected


def head(seed: int, classes: int, width: int, blank_bias: float) -> dict[str, Array]:
    """A random transducer head whose blank wins more or less often."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> Array:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    tensors = {
        "embed": normal(classes, width, scale=1.0),
        "lstm.weight_ih": normal(4 * width, width, scale=0.5),
        "lstm.weight_hh": normal(4 * width, width, scale=0.5),
        "lstm.bias": normal(4 * width, scale=0.3),
        "joint.pred.weight": normal(width, width, scale=0.7),
        "joint.pred.bias": normal(width, scale=0.3),
        "joint.out.weight": normal(classes, width, scale=0.8),
        "joint.out.bias": normal(classes, scale=0.3),
    }
    tensors["joint.out.bias"][-1] += blank_bias
    return tensors


def sigmoid(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1.0 / (1.0 + np.exp(-x))
    return found


def frame_by_frame(
    tensors: dict[str, Array], encoded: Array, blank: int, max_symbols: int
) -> list[Emission]:
    """The textbook loop in float64: predictor and joint at every step, log-softmax over all."""
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    width = t["embed"].shape[1]
    embedding = hidden = cell = np.zeros(width)
    out = []
    for frame, acoustic in enumerate(encoded.astype(np.float64)):
        for _ in range(max_symbols):
            gates = t["lstm.weight_ih"] @ embedding + t["lstm.weight_hh"] @ hidden + t["lstm.bias"]
            take, keep, new, show = np.split(gates, 4)
            next_cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
            next_hidden = sigmoid(show) * np.tanh(next_cell)
            joint = acoustic + t["joint.pred.weight"] @ next_hidden + t["joint.pred.bias"]
            scores = t["joint.out.weight"] @ np.maximum(joint, 0) + t["joint.out.bias"]
            label = int(scores.argmax())
            if label == blank:
                break
            logprob = scores[label] - np.logaddexp.reduce(scores)
            out.append(Emission(label, frame, float(logprob)))
            embedding, hidden, cell = t["embed"][label], next_hidden, next_cell
    return out


def assert_same(found: list[Emission], expected: list[Emission]) -> None:
    assert [(e.label, e.frame) for e in found] == [(e.label, e.frame) for e in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert math.isclose(ours.logprob, theirs.logprob, abs_tol=2e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    classes=st.sampled_from([2, 7, 35, 140, 300]),
    width=st.sampled_from([4, 16]),
    frames=st.integers(0, 33),
    blank_bias=st.sampled_from([0.0, 3.0, 6.0]),
    max_symbols=st.sampled_from([1, 3, 10]),
)
def test_look_ahead_equals_the_textbook(
    seed: int, classes: int, width: int, frames: int, blank_bias: float, max_symbols: int
) -> None:
    tensors = head(seed, classes, width, blank_bias)
    encoded = np.random.default_rng(seed).standard_normal((frames, width)).astype(np.float32)
    expected = frame_by_frame(tensors, encoded, classes - 1, max_symbols)
    found = Transducer(tensors, classes - 1, max_symbols).greedy(encoded)
    assert_same(found, expected)
    assert all(e.logprob <= 0 for e in found)


@pytest.mark.parametrize("block", [1, 2, 4, 7, 16])
def test_size_of_the_block_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = head(5, 64, 32, 4.0)
    encoded = 2 * np.random.default_rng(6).standard_normal((200, 32)).astype(np.float32)
    expected = frame_by_frame(tensors, encoded, 63, 10)
    assert len(expected) > 20
    monkeypatch.setattr(rnnt, "BLOCK", block)
    assert_same(Transducer(tensors, 63, 10).greedy(encoded), expected)


def test_a_frame_that_never_blanks_stops_at_the_limit() -> None:
    tensors = head(1, 12, 8, -1e4)
    found = Transducer(tensors, 11, 3).greedy(np.ones((5, 8), np.float32))
    assert [e.frame for e in found] == [frame for frame in range(5) for _ in range(3)]


def test_start_is_a_zero_embedding_not_a_row_of_the_table() -> None:
    tensors = head(2, 20, 8, 2.0)
    encoded = np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
    expected = Transducer(tensors, 19, 10).greedy(encoded)
    tensors["embed"][19] = 100.0  # the blank's row must never be read
    assert Transducer(tensors, 19, 10).greedy(encoded) == expected


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    classes=st.sampled_from([2, 35, 140, 300]),
    lengths=st.lists(st.integers(0, 40), max_size=9),
    blank_bias=st.sampled_from([-1e4, 0.0, 3.0, 6.0, 1e4]),
    max_symbols=st.sampled_from([1, 3, 10]),
)
def test_side_by_side_equals_alone_to_the_last_bit(
    seed: int, classes: int, lengths: list[int], blank_bias: float, max_symbols: int
) -> None:
    decoder = Transducer(head(seed, classes, 16, blank_bias), classes - 1, max_symbols)
    rng = np.random.default_rng(seed)
    clips = [2 * rng.standard_normal((n, 16)).astype(np.float32) for n in lengths]
    assert decoder.greedy_batch(clips) == [decoder.greedy(clip) for clip in clips]


def test_side_by_side_at_the_published_size() -> None:
    """Sizes of the e2e model: several tiles, recordings that end at different times."""
    decoder = Transducer(head(4, 1025, 320, 100.0), 1024, 10)
    rng = np.random.default_rng(4)
    clips = [3 * rng.standard_normal((n, 320), np.float32) for n in (90, 1, 41, 0, 120, 7)]
    alone = [decoder.greedy(clip) for clip in clips]
    assert decoder.greedy_batch(clips) == alone
    assert decoder.greedy_batch(clips[::-1]) == alone[::-1]
    assert 20 < sum(map(len, alone)) < 5 * sum(map(len, clips))
