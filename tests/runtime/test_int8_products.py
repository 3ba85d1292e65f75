"""Products in int8 of the library: the very bits of ONNX Runtime's exact ones, on every unit.

"matrix" is the matrix unit (AMX), in C where the processor has none; "vector" is AVX2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from glagol.registry.registry import Registry
from glagol.runtime import session as sessions
from glagol.runtime.external_data import external_tensors
from glagol.runtime.kernels.adapt import adapt
from glagol.runtime.kernels.choice import OPERATORS
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import open_session, uses_kernels
from runtime.unit import model, normal, opened, ours, vector_library
from speech.conftest import MODELS

InferenceSession: TypeAlias = onnxruntime.InferenceSession
Float32 = NDArray[np.float32]


@pytest.fixture(scope="module", params=["matrix", "vector"])
def unit(request: pytest.FixtureRequest) -> Iterator[str]:
    """A library whose operators of one unit are used, whatever this processor would use."""
    matrix = request.param == "matrix"
    path: str = request.getfixturevalue("library") if matrix else vector_library()
    with pytest.MonkeyPatch.context() as patch:
        operators = OPERATORS["amx" if matrix else "avx2"]
        patch.setattr(sessions, "operators_of", lambda _: operators)
        yield path


def product(runs: InferenceSession, x: Float32) -> Float32:
    found: Float32 = runs.run(None, {"x": x})[0]
    return found


def int8_session(
    weights: NDArray[np.int8],
    bias: Float32 | None,
    library: str | None,
    *,
    quantised: bool,
    threads: int = 1,
) -> InferenceSession:
    """One product in dynamic int8, the rows quantised beside it or inside it.

    ONNX Runtime's, without a library, is of the same weights as unsigned ones with the zero point
    128: its sums of signed ones saturate on processors without VNNI.
    """
    rng = np.random.default_rng(len(weights))
    columns = weights.shape[1]
    signed = library is not None
    constants: dict[str, NDArray[Any]] = {
        "w": weights if signed else weights.view(np.uint8) ^ 0x80,
        "s": np.asarray(rng.uniform(1e-4, 1e-2, columns), np.float32),
        "z": np.zeros(columns, np.int8) if signed else np.full(columns, 128, np.uint8),
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
    unit: str,
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
    bias = normal(seed, columns) if biased else None
    expected = product(int8_session(weights, bias, None, quantised=quantised), x)
    for threads in (1, 3):
        runs = int8_session(weights, bias, unit, quantised=quantised, threads=threads)
        assert np.array_equal(product(runs, x), expected)


@pytest.mark.parametrize("quantised", [False, True])
def test_int8_at_the_edges(unit: str, quantised: bool) -> None:
    """Silence, one value everywhere, the largest sums of v3's deepest product, nothing at all."""
    weights = np.full((3072, 40), -128, np.int8)
    ours, theirs = (int8_session(weights, None, each, quantised=quantised) for each in (unit, None))
    for x in (np.zeros((1, 5, 3072)), np.full((1, 5, 3072), 7.0), np.full((1, 5, 3072), -7.0)):
        given = x.astype(np.float32)
        assert np.array_equal(product(ours, given), product(theirs, given))
    if not quantised:  # ONNX's DynamicQuantizeLinear takes no empty tensor
        assert product(ours, np.zeros((1, 0, 3072), np.float32)).shape == (1, 0, 40)


@pytest.mark.parametrize("quantised", [False, True])
def test_int8_operands_that_do_not_fit_are_refused(unit: str, quantised: bool) -> None:
    """As ONNX Runtime refuses them, when they come."""
    weights = np.ones((50, 33), np.int8)
    with pytest.raises(Exception, match="do not fit"):
        product(int8_session(weights, None, unit, quantised=quantised), normal(8, 4, 49))


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 39])
def test_int8_of_what_is_no_number_is_none(unit: str, strange: float, row: int) -> None:
    """One scale holds for the whole tensor, so none of it can be trusted."""
    x, weights = normal(9, 40, 64), np.ones((64, 40), np.int8)
    x[row, 5] = strange
    assert np.isnan(product(int8_session(weights, None, unit, quantised=False), x)).all()


@pytest.mark.parametrize("factor", [1e-38, 1e-42])
def test_int8_of_tiny_numbers(unit: str, factor: float) -> None:
    """Denormal numbers are numbers."""
    x, weights = normal(1, 30, 50) * np.float32(factor), normal(2, 50, 20).astype(np.int8)
    for quantised in (False, True):
        ours, theirs = (
            int8_session(weights, None, each, quantised=quantised) for each in (unit, None)
        )
        assert np.array_equal(product(ours, x), product(theirs, x))


def test_a_sum_of_two_products_does_not_saturate(unit: str) -> None:
    """Two products of 255 and 127 are more than 16 bits hold."""
    x = np.repeat(np.array([[0.0], [255.0]], np.float32), 64, axis=1)
    weights = np.full((64, 3), 127, np.int8)
    found = product(int8_session(weights, None, unit, quantised=False), x)
    scales = np.asarray(np.random.default_rng(64).uniform(1e-4, 1e-2, 3), np.float32)
    assert np.array_equal(found[1], np.float32(64 * 255 * 127) * scales)
    assert not found[0].any()


@pytest.mark.parametrize("head", sorted(MODELS))
def test_every_int8_product_of_our_models_is_ours(
    registry: Registry, unit: str, head: str, request: pytest.FixtureRequest
) -> None:
    """None is left to ONNX Runtime, where its sums would saturate."""
    blobs = registry.open(MODELS[head], "cpu-int8").blobs
    data = blobs["encoder.onnx"].data
    views = {each.name: each.view(blobs[each.location].data) for each in external_tensors(data)}
    vector = "vector" in request.node.name
    found = adapt(data, views, OPERATORS["avx2" if vector else "amx"])
    assert found is not None
    nodes = onnx.load_model_from_string(found.graph).graph.node
    kinds = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
    products = [node for node in nodes if node.op_type.endswith(kinds)]
    assert {node.domain for node in products} == {"ai.glagol"}
    assert len(products) == 56 + 33
    assert {node.op_type.startswith("Vector") for node in products} == {vector}
    runs = open_session(blobs, "encoder.onnx", device="cpu", threads=1, library=unit)
    assert uses_kernels(runs)
