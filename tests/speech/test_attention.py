"""Attention on the matrix unit: as exact as ONNX Runtime's, whoever else is asked beside."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from glagol.registry.errors import IntegrityError
from glagol.registry.store import Blob
from glagol.speech import amx
from glagol.speech.runtime import onnxruntime
from glagol.speech.session import open_session

Float32 = NDArray[np.float32]

pytestmark = pytest.mark.skipif(
    amx.library() is None, reason=f"no matrix unit (AMX): {amx.obstacle()}"
)
HALF_ULP = 2.0**-24
FAR = -1e4
"""What the encoder's graph adds to the score of a key that is padding."""


def session(
    heads: int,
    scale: float,
    *,
    threads: int = 1,
    library: str | None = amx.library(),
    inputs: str = "qkv",
    **others: int,
) -> onnxruntime.InferenceSession:
    """Attention of what is given, [clips, frames, heads * size] each."""
    kind, domain = "MultiHeadAttention", "com.microsoft"
    told = {"num_heads": heads, "scale": scale, **others}
    node = helper.make_node(kind, list(inputs), "y", domain=domain, **told)
    proto = helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, ["clips", f"{n}t", f"{n}s"])
                for n in "qkv"
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    data = proto.SerializeToString()
    blob = Blob(hashlib.sha256(data).hexdigest(), memoryview(data))
    return open_session({"g": blob}, "g", device="cpu", threads=threads, library=library)


def attend(
    runs: onnxruntime.InferenceSession, queries: Float32, keys: Float32, values: Float32
) -> Float32:
    found: Float32 = runs.run(None, {"q": queries, "k": keys, "v": values})[0]
    return found


def normal(seed: int, *shape: int) -> Float32:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


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


@settings(max_examples=60)
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
    clips: int, frames: int, heads: int, size: int, value_size: int, spread: float, seed: int
) -> None:
    """Every element is within the bound that float32 sums of scores and of values have."""
    queries, keys = (normal(seed + i, clips, frames, heads * size) for i in (0, 1))
    queries *= np.float32(spread)
    values, scale = normal(seed + 2, clips, frames, heads * value_size), size**-0.5
    found = attend(session(heads, scale), queries, keys, values)
    expected, moves = exact(heads, scale, queries, keys, values)
    assert np.all(np.abs(found - expected) <= (size + frames + 16) * HALF_ULP * moves)


@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_as_near_to_exact_as_onnxruntime(spread: float, mean: float) -> None:
    """At v3's sizes and 25 s, weights spread over all keys and gathered on few."""
    queries, keys = np.float32(spread) * normal(1, 1, 625, 16 * 49), normal(2, 1, 625, 16 * 49)
    values, scale = np.float32(mean) + normal(3, 1, 625, 16 * 48), 48**-0.5
    expected, _ = exact(16, scale, queries, keys, values)
    ours, theirs = (
        np.sqrt(np.mean((attend(runs, queries, keys, values) - expected) ** 2))
        for runs in (session(16, scale), session(16, scale, library=None))
    )
    assert ours < 1.25 * theirs


def test_threads_clips_and_other_queries_change_no_bit() -> None:
    queries, keys = normal(1, 3, 200, 6 * 49), normal(2, 3, 200, 6 * 49)
    values = normal(3, 3, 200, 6 * 48)
    expected = attend(session(6, 0.2), queries, keys, values)
    for threads in (2, 3, 5):
        again = attend(session(6, 0.2, threads=threads), queries, keys, values)
        assert np.array_equal(again, expected)
    for clip in range(3):
        one = slice(clip, clip + 1)
        alone = attend(session(6, 0.2), queries[one], keys[one], values[one])
        assert np.array_equal(alone, expected[one])
    moved = attend(session(6, 0.2), np.roll(queries, 37, axis=1), keys, values)
    assert np.array_equal(moved, np.roll(expected, 37, axis=1))


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 100])
def test_padding_changes_no_bit(frames: int) -> None:
    """The last number of a query is 1 and of a key its mask, as the encoder's graph has it."""
    queries, keys = normal(1, 1, frames, 49), normal(2, 1, frames, 49)
    queries[..., -1], keys[..., -1] = 1, 0
    values = normal(3, 1, frames, 48)
    expected = attend(session(1, 48**-0.5), queries, keys, values)
    for more in (1, 40, 200):
        wide = [np.pad(each, ((0, 0), (0, more), (0, 0)), mode="edge")
                for each in (queries, keys, values)]  # fmt: skip
        wide[1][:, frames:, -1] = FAR
        found = attend(session(1, 48**-0.5), *wide)
        assert np.array_equal(found[:, :frames], expected)


def test_better_and_better_scores() -> None:
    """Each key's score is far above the one before: what was summed counts for nothing."""
    frames = 100
    queries = np.full((1, frames, 8), 1, np.float32)
    keys = np.repeat(np.arange(frames, dtype=np.float32) * 40, 8).reshape(1, frames, 8)
    values = normal(1, 1, frames, 5)
    for order in (slice(None), slice(None, None, -1)):
        found = attend(session(1, 1.0), queries, keys[:, order], values[:, order])
        assert np.array_equal(found, np.repeat(values[:, -1:], frames, axis=1))


def test_what_is_no_number_stays_with_who_asked_for_it() -> None:
    queries, keys, values = (normal(i, 1, 70, 2 * 40) for i in range(3))
    queries[0, 5, 3], queries[0, 40, 3] = np.nan, np.inf  # of the first head
    found = attend(session(2, 0.2), queries, keys, values)
    wrong = ~np.isfinite(found).all(axis=2)[0]
    assert np.flatnonzero(wrong).tolist() == [5, 40]
    assert np.isfinite(found[..., 40:]).all()
    keys[0, 7, 50] = np.nan  # of the second head, for all
    found = attend(session(2, 0.2), queries, keys, values)
    assert not np.isfinite(found[..., 40:]).any()


def test_nothing_of_nothing() -> None:
    none = np.zeros((2, 0, 8), np.float32)
    assert attend(session(2, 1.0), none, none, none).shape == (2, 0, 8)


@pytest.mark.parametrize(
    ("queries", "keys", "values"),
    [
        ((1, 5, 130), (1, 5, 130), (1, 5, 8)),  # 65 numbers of a head
        ((1, 5, 8), (1, 5, 8), (1, 5, 98)),  # 49 values of a head
        ((1, 5, 8), (1, 6, 8), (1, 6, 8)),
        ((1, 5, 8), (1, 5, 10), (1, 5, 8)),
        ((1, 5, 7), (1, 5, 7), (1, 5, 8)),
    ],
)
def test_what_cannot_be_is_refused(
    queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...]
) -> None:
    given = (np.zeros(shape, np.float32) for shape in (queries, keys, values))
    with pytest.raises(Exception, match="glagol: "):
        attend(session(2, 1.0), *given)


def test_more_inputs_than_we_compute_are_refused() -> None:
    """A bias would pass for none."""
    with pytest.raises(IntegrityError):
        session(2, 1.0, inputs="qkvq")


def test_what_onnxruntime_would_do_otherwise_is_refused() -> None:
    """It looks back only when it is asked to, and takes no scale for one of its own."""
    session(2, 1.0, unidirectional=0)
    with pytest.raises(IntegrityError, match="looks at all keys"):
        session(2, 1.0, unidirectional=1)
    with pytest.raises(IntegrityError, match="positive scale"):
        session(2, 0.0)
