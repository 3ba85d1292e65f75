"""Attention on the matrix unit: as exact as ONNX Runtime's, whatever else is asked beside.

On a processor without the unit the same source is tested with the unit in C (`speech.unit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import uses_kernels
from runtime.unit import model, normal, opened, ours

InferenceSession: TypeAlias = onnxruntime.InferenceSession
Float32 = NDArray[np.float32]

HALF_ULP = 2.0**-24
FAR = -1e4
"""What the encoder's graph adds to the score of a key that is padding."""


def session(heads: int, scale: float, library: str | None, threads: int = 1) -> InferenceSession:
    """Attention of what is given, [clips, frames, heads * size] each; None is ONNX Runtime's."""
    data = attention(num_heads=heads, scale=scale)
    return ours(data, library, threads) if library else opened(data, None, threads)


def attention(inputs: Sequence[str] = "qkv", **attributes: float) -> bytes:
    """A graph of one attention with these attributes."""
    node = helper.make_node(
        "MultiHeadAttention", [*inputs], ["y"], domain="com.microsoft", **attributes
    )
    return model([node], {n: ["clips", f"{n}t", f"{n}s"] for n in "qkv"}, {})


def attend(runs: InferenceSession, queries: Float32, keys: Float32, values: Float32) -> Float32:
    found: Float32 = runs.run(None, {"q": queries, "k": keys, "v": values})[0]
    return found


def exact(
    heads: int, scale: float, *given: Float32
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The result in double precision, and how much an error of a unit in a score moves it."""
    queries, keys, values = (
        each.astype(np.float64).reshape(*each.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        for each in given
    )
    turned = keys.transpose(0, 1, 3, 2)
    scores = scale * queries @ turned
    sizes = scale * np.abs(queries) @ np.abs(turned)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    moves = (1 + sizes.max(axis=-1, keepdims=True)) * (weights @ np.abs(values))
    shape = (*given[0].shape[:2], -1)
    mixed = weights @ values
    return mixed.transpose(0, 2, 1, 3).reshape(shape), moves.transpose(0, 2, 1, 3).reshape(shape)


@settings(max_examples=40, deadline=None)
@given(
    clips=st.integers(1, 3),
    frames=st.integers(1, 130),
    heads=st.integers(1, 5),
    size=st.integers(1, 64),
    value_size=st.integers(1, 48),
    spread=st.sampled_from([0.1, 1.0, 5.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_near_to_the_exact_result_as_float32(
    library: str,
    clips: int,
    frames: int,
    heads: int,
    size: int,
    value_size: int,
    spread: float,
    seed: int,
) -> None:
    """Every element is within the bound that float32 sums of scores and of values have."""
    queries, keys = (normal(seed + i, clips, frames, heads * size) for i in (0, 1))
    queries *= np.float32(spread)
    values, scale = normal(seed + 2, clips, frames, heads * value_size), size**-0.5
    found = attend(session(heads, scale, library), queries, keys, values)
    expected, moves = exact(heads, scale, queries, keys, values)
    assert np.all(np.abs(found - expected) <= (size + frames + 16) * HALF_ULP * moves)


@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_as_near_to_exact_as_onnxruntime(library: str, spread: float, mean: float) -> None:
    """At v3's sizes and 25 s, weights spread over all keys and gathered on few."""
    queries, keys = np.float32(spread) * normal(1, 1, 625, 16 * 49), normal(2, 1, 625, 16 * 49)
    values, scale = np.float32(mean) + normal(3, 1, 625, 16 * 48), 48**-0.5
    expected, _ = exact(16, scale, queries, keys, values)
    ours, theirs = (
        np.sqrt(np.mean((attend(runs, queries, keys, values) - expected) ** 2))
        for runs in (session(16, scale, library), session(16, scale, None))
    )
    assert ours < 1.25 * theirs


def test_threads_clips_and_other_queries_change_no_bit(library: str) -> None:
    """A query's result is its own."""
    queries, keys = normal(1, 3, 200, 6 * 49), normal(2, 3, 200, 6 * 49)
    values = normal(3, 3, 200, 6 * 48)
    expected = attend(session(6, 0.2, library), queries, keys, values)
    for threads in (2, 3, 5):
        again = attend(session(6, 0.2, library, threads), queries, keys, values)
        assert np.array_equal(again, expected)
    for clip in range(3):
        one = slice(clip, clip + 1)
        alone = attend(session(6, 0.2, library), queries[one], keys[one], values[one])
        assert np.array_equal(alone, expected[one])
    moved = attend(session(6, 0.2, library), np.roll(queries, 37, axis=1), keys, values)
    assert np.array_equal(moved, np.roll(expected, 37, axis=1))


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 100])
def test_padding_changes_no_bit(library: str, frames: int) -> None:
    """The last number of a query is 1 and of a key its mask, as the encoder's graph has it."""
    queries, keys = normal(1, 1, frames, 49), normal(2, 1, frames, 49)
    queries[..., -1], keys[..., -1] = 1, 0
    values = normal(3, 1, frames, 48)
    expected = attend(session(1, 48**-0.5, library), queries, keys, values)
    for more in (1, 40, 200):
        wide = [np.pad(each, ((0, 0), (0, more), (0, 0)), mode="edge")
                for each in (queries, keys, values)]  # fmt: skip
        wide[1][:, frames:, -1] = FAR
        found = attend(session(1, 48**-0.5, library), *wide)
        assert np.array_equal(found[:, :frames], expected)


def test_better_and_better_scores(library: str) -> None:
    """Each key's score is far above the one before: what was summed counts for nothing."""
    frames = 100
    queries = np.full((1, frames, 8), 1, np.float32)
    keys = np.repeat(np.arange(frames, dtype=np.float32) * 40, 8).reshape(1, frames, 8)
    values = normal(1, 1, frames, 5)
    for order in (slice(None), slice(None, None, -1)):
        found = attend(session(1, 1.0, library), queries, keys[:, order], values[:, order])
        assert np.array_equal(found, np.repeat(values[:, -1:], frames, axis=1))


def test_what_is_no_number_stays_with_its_query(library: str) -> None:
    """Of a query: in its own result. Of a key: in all results of its head."""
    queries, keys, values = (normal(i, 1, 70, 2 * 40) for i in range(3))
    queries[0, 5, 3], queries[0, 40, 3] = np.nan, np.inf  # of the first head
    found = attend(session(2, 0.2, library), queries, keys, values)
    wrong = ~np.asarray(np.isfinite(found).all(axis=2))[0]
    assert np.flatnonzero(wrong).tolist() == [5, 40]
    assert np.isfinite(found[..., 40:]).all()
    keys[0, 7, 50] = np.nan  # of the second head, for all
    found = attend(session(2, 0.2, library), queries, keys, values)
    assert not np.isfinite(found[..., 40:]).any()


def test_nothing_of_nothing(library: str) -> None:
    """No frames give no frames."""
    none = np.zeros((2, 0, 8), np.float32)
    assert attend(session(2, 1.0, library), none, none, none).shape == (2, 0, 8)


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ((2, 5, 130), (2, 5, 8)),  # 65 numbers of a head
        ((2, 5, 128), (2, 5, 128)),  # 64 values of a head, as Whisper has
        ((2, 33, 8), (2, 33, 8)),  # other keys than queries
    ],
)
def test_what_ours_cannot_do_in_a_call_is_onnxruntimes(
    library: str, keys: tuple[int, ...], values: tuple[int, ...]
) -> None:
    """Its very bits, from its own operator; before and after a call of ours in the same session."""
    given = (normal(1, 2, 5, keys[-1]), normal(2, *keys), normal(3, *values))
    ordinary = [normal(i, 2, 40, 8) for i in range(3)]
    runs, theirs = session(2, 0.3, library), session(2, 0.3, None)
    expected, before = attend(theirs, *given), attend(runs, *ordinary)
    assert np.array_equal(attend(runs, *given), expected)
    assert np.array_equal(attend(runs, *ordinary), before)
    assert np.array_equal(attend(runs, *given), expected)


@pytest.mark.parametrize("size", [7, 10])
def test_what_neither_can_do_is_refused(library: str, size: int) -> None:
    """Heads that do not divide, keys of another size than queries: by ONNX Runtime's operator."""
    queries, keys = np.zeros((1, 5, size), np.float32), np.zeros((1, 5, 8), np.float32)
    with pytest.raises(Exception, match="MultiHeadAttention"):
        attend(session(2, 1.0, library), queries, keys, keys)


@pytest.mark.parametrize(
    "attributes",
    [{"unidirectional": 1}, {"scale": 0.0}, {"scale": -1.0}, {"mask_filter_value": -1.0}],
)
def test_what_a_node_asks_for_beyond_ours_stays_with_onnxruntime(
    library: str, attributes: dict[str, float]
) -> None:
    """It looks back only when asked to, and takes no scale for one of its own."""
    data = attention("qkv", **({"num_heads": 2, "scale": 0.3} | attributes))
    given = [normal(i, 1, 40, 16) for i in range(3)]
    runs = opened(data, library)
    assert not uses_kernels(runs)
    assert np.array_equal(attend(runs, *given), attend(opened(data, None), *given))


def test_more_inputs_than_ours_has_stay_with_onnxruntime(library: str) -> None:
    """A bias is no input of ours, and must not pass for none."""
    node = helper.make_node(
        "MultiHeadAttention", [*"qkvb"], ["y"], domain="com.microsoft", num_heads=2, scale=0.3
    )
    data = model([node], {n: ["c", "t", 16] for n in "qkv"}, {"b": normal(9, 48)})
    given = [normal(i, 1, 40, 16) for i in range(3)]
    runs = opened(data, library)
    assert not uses_kernels(runs)
    assert np.array_equal(attend(runs, *given), attend(opened(data, None), *given))
