"""Products on the matrix unit: float32 as exact as ever, int8 the very bits of ONNX Runtime.

On a processor without the unit the same source is tested with the unit in C (`speech.unit`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from glagol.registry.registry import Registry
from glagol.registry.store import Blob
from glagol.runtime.kernels import amx
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session, uses_kernels
from runtime.unit import model, opened, ours
from speech.conftest import MODELS

InferenceSession: TypeAlias = onnxruntime.InferenceSession

Float32 = NDArray[np.float32]

NATIVE = Path(__file__).resolve().parents[2] / "packages/runtime/native"
HALF_ULP = 2.0**-24


def session(weights: Float32, library: str | None, threads: int = 1) -> InferenceSession:
    """One product of anything by the weights; None for ONNX Runtime's own."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    data = model([node], {"x": None}, {"w": weights})
    return ours(data, library, threads) if library else opened(data, None, threads)


def product(runs: InferenceSession, x: Float32) -> Float32:
    found: Float32 = runs.run(None, {"x": x})[0]
    return found


def values(seed: int, shape: tuple[int, ...], spread: float = 0.0) -> Float32:
    """Normal numbers, their magnitudes spread over 10 ** +-spread."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 10 ** rng.uniform(-spread, spread, shape)).astype(
        np.float32
    )


def test_the_committed_library_is_of_this_source() -> None:
    """build/native was run after the last change; `./just proof native` compares its bytes."""
    source = hashlib.sha256()
    for file in [*sorted(NATIVE.glob("*.h")), *sorted(NATIVE.glob("*.c"))]:
        source.update(file.read_bytes())
    assert source.hexdigest().encode() in Path(amx.library_file()).read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 300),
    depth=st.one_of(st.integers(1, 100), st.integers(700, 900)),
    columns=st.integers(1, 100),
    spread=st.sampled_from([0.0, 3.0, 9.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_near_to_the_exact_product_as_float32(
    library: str, rows: int, depth: int, columns: int, spread: float, seed: int
) -> None:
    """Every element is within the bound of a float32 sum, magnitudes 10 ** +-9 apart included."""
    x, weights = values(seed, (rows, depth), spread), values(seed + 1, (depth, columns), spread)
    found = product(session(weights, library), x)
    exact = x.astype(np.float64) @ weights.astype(np.float64)
    sums = np.abs(x).astype(np.float64) @ np.abs(weights).astype(np.float64)
    assert np.all(np.abs(found - exact) <= (depth + 8) * HALF_ULP * sums)


def test_no_further_from_exact_than_onnxruntime(library: str) -> None:
    """At v3's sizes, with mixed signs: the mean error is within twice that of its kernel."""
    for depth, columns in ((768, 784), (768, 3072), (3072, 768)):
        x, weights = values(1, (250, depth)), values(2, (depth, columns))
        exact = x.astype(np.float64) @ weights.astype(np.float64)
        ours, theirs = (
            np.sqrt(np.mean((product(session(weights, each), x) - exact) ** 2))
            for each in (library, None)
        )
        assert ours < 2 * theirs


@pytest.mark.parametrize("depth", [40, 768, 1600])
def test_a_row_does_not_know_its_neighbours(library: str, depth: int) -> None:
    """Alone, among 599 others, on any number of threads: the same bits."""
    x, weights = values(3, (600, depth)), values(4, (depth, 200))
    expected = product(session(weights, library), x)
    for row in (0, 31, 32, 255, 256, 599):
        assert np.array_equal(
            product(session(weights, library), x[row : row + 1])[0], expected[row]
        )
    for threads in (2, 3, 5):
        assert np.array_equal(product(session(weights, library, threads), x), expected)


@pytest.mark.parametrize("variant", ["cpu-fp32", "cpu-int8"])
@pytest.mark.parametrize("head", sorted(MODELS))
def test_nothing_is_read_from_a_model_file_once_it_is_open(
    registry: Registry, library: str, head: str, variant: str
) -> None:
    """Weights are read while opening only: later changes of the file change no result."""
    files = {k: bytearray(b.data) for k, b in registry.open(MODELS[head], variant).blobs.items()}
    blobs = {path: Blob("", memoryview(data)) for path, data in files.items()}
    runs = open_session(blobs, "encoder.onnx", device="cpu", threads=1, library=library)
    assert uses_kernels(runs)
    given = {"features": values(1, (1, 99, 64)), "lengths": np.array([99], np.int64)}
    expected = runs.run(None, given)[0]
    for data in files.values():
        data[:] = bytes(len(data))
    assert np.array_equal(runs.run(None, given)[0], expected)


def test_leading_axes_are_rows(library: str) -> None:
    """Of none, one or three; and no rows at all."""
    x, weights = values(5, (2, 3, 7, 50)), values(6, (50, 33))
    runs = session(weights, library)
    found = product(runs, x)
    assert found.shape == (2, 3, 7, 33)
    assert np.array_equal(found.reshape(-1, 33), product(runs, x.reshape(-1, 50)))
    assert product(runs, x[:, :0]).shape == (2, 0, 7, 33)
    assert np.array_equal(product(runs, x[0, 0, 0]), found[0, 0, 0])


def test_operands_that_do_not_fit_are_refused(library: str) -> None:
    """As ONNX Runtime refuses them, when they come."""
    with pytest.raises(Exception, match="do not fit"):
        product(session(values(7, (50, 33)), library), values(8, (4, 49)))


def test_infinities_and_nans_do_not_pass_for_numbers(library: str) -> None:
    """They stay in their rows, and show there."""
    x, weights = values(9, (40, 64)), values(10, (64, 40))
    x[3, 5], x[20, 40] = np.inf, np.nan
    found = product(session(weights, library), x)
    assert not np.isfinite(found[[3, 20]]).any()
    assert np.isfinite(np.delete(found, [3, 20], axis=0)).all()


def int8_session(
    weights: NDArray[np.int8],
    bias: Float32 | None,
    library: str | None,
    *,
    quantised: bool,
    threads: int = 1,
) -> InferenceSession:
    """One product in dynamic int8, the rows quantised beside it or inside it."""
    rng = np.random.default_rng(len(weights))
    columns = weights.shape[1]
    constants: dict[str, NDArray[Any]] = {
        "w": weights,
        "s": np.asarray(rng.uniform(1e-4, 1e-2, columns), np.float32),
        "z": np.zeros(columns, np.int8),
        **({} if bias is None else {"b": bias}),
    }
    inputs = ["x", "w", "s", "z"] if not quantised else ["q", "w", "xs", "s", "xz", "z"]
    kind = "MatMulIntegerToFloat" if quantised else "DynamicQuantizeMatMul"
    inputs += [] if bias is None else ["b"]
    nodes = [helper.make_node(kind, inputs, ["y"], domain="com.microsoft")]
    if quantised:  # and a second reader of the rows, else the product would quantise them itself
        rows = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "xs", "xz"])
        nodes = [rows, *nodes, helper.make_node("Shape", ["q"], ["other"])]
    data = model(nodes, {"x": None}, constants)
    return ours(data, library, threads) if library else opened(data, None, threads)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 300),
    depth=st.one_of(st.integers(1, 200), st.integers(700, 900)),
    columns=st.integers(1, 100),
    shift=st.sampled_from([-3.0, 0.0, 3.0]),
    quantised=st.booleans(),
    biased=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_int8_is_onnxruntimes_to_the_bit(
    library: str,
    rows: int,
    depth: int,
    columns: int,
    shift: float,
    quantised: bool,
    biased: bool,
    seed: int,
) -> None:
    """Any shape, with zero points at both ends and between, on one thread and on three."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, rows, depth)).astype(np.float32) + np.float32(shift)
    weights = rng.integers(-128, 128, (depth, columns)).astype(np.int8)
    bias = values(seed, (columns,)) if biased else None
    expected = product(int8_session(weights, bias, None, quantised=quantised), x)
    for threads in (1, 3):
        runs = int8_session(weights, bias, library, quantised=quantised, threads=threads)
        assert np.array_equal(product(runs, x), expected)


@pytest.mark.parametrize("quantised", [False, True])
def test_int8_at_the_edges(library: str, quantised: bool) -> None:
    """Silence, one value everywhere, the largest sums of v3's deepest product, nothing at all."""
    weights = np.full((3072, 40), -128, np.int8)
    ours, theirs = (
        int8_session(weights, None, each, quantised=quantised) for each in (library, None)
    )
    for x in (np.zeros((1, 5, 3072)), np.full((1, 5, 3072), 7.0), np.full((1, 5, 3072), -7.0)):
        given = x.astype(np.float32)
        assert np.array_equal(product(ours, given), product(theirs, given))
    if not quantised:  # ONNX's DynamicQuantizeLinear takes no empty tensor
        assert product(ours, np.zeros((1, 0, 3072), np.float32)).shape == (1, 0, 40)


@pytest.mark.parametrize("quantised", [False, True])
def test_int8_operands_that_do_not_fit_are_refused(library: str, quantised: bool) -> None:
    """As ONNX Runtime refuses them, when they come."""
    weights = np.ones((50, 33), np.int8)
    with pytest.raises(Exception, match="do not fit"):
        product(int8_session(weights, None, library, quantised=quantised), values(8, (4, 49)))


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 39])
def test_int8_of_what_is_no_number_is_none(library: str, strange: float, row: int) -> None:
    """One scale holds for the whole tensor, so none of it can be trusted."""
    x, weights = values(9, (40, 64)), np.ones((64, 40), np.int8)
    x[row, 5] = strange
    assert np.isnan(product(int8_session(weights, None, library, quantised=False), x)).all()
