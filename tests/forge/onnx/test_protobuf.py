"""The protobuf writer, read back by the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from glagol.forge.onnx import protobuf
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.protobuf import DataType, External

names = st.text(st.characters(codec="utf-8"), max_size=20)
int64 = st.integers(-(2**63), 2**63 - 1)


@given(names, st.lists(int64, max_size=6))
def test_integer_attributes_survive(name: str, values: list[int]) -> None:
    """Any 64-bit integers, negative ones too, come back as they were."""
    read = onnx.AttributeProto.FromString(protobuf.attribute(name, tuple(values)))
    assert (read.name, list(read.ints), read.type) == (name, values, onnx.AttributeProto.INTS)


@given(names, int64, st.floats(width=32, allow_nan=False), names)
def test_scalar_attributes_survive(name: str, whole: int, real: float, text: str) -> None:
    """Each Python type gives its ONNX type."""
    assert onnx.AttributeProto.FromString(protobuf.attribute(name, whole)).i == whole
    assert onnx.AttributeProto.FromString(protobuf.attribute(name, real)).f == real
    assert onnx.AttributeProto.FromString(protobuf.attribute(name, text)).s.decode() == text


def test_bool_is_no_attribute() -> None:
    """A bool would silently become an int; the writer refuses it and unknown types."""
    with pytest.raises(TypeError, match="bool"):
        protobuf.attribute("flag", True)
    with pytest.raises(TypeError, match="bytes"):
        protobuf.attribute("flag", b"x")  # type: ignore[arg-type]


def test_tensor_inline_and_external() -> None:
    """Raw data come back through onnx's own reader; external data keep place and length."""
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    inline = onnx.TensorProto.FromString(
        protobuf.tensor("t", DataType.FLOAT, value.shape, value.tobytes())
    )
    assert np.array_equal(numpy_helper.to_array(inline), value)
    where = External("encoder.data", 128, 24)
    outside = onnx.TensorProto.FromString(protobuf.tensor("t", DataType.FLOAT, (2, 3), where))
    entries = {entry.key: entry.value for entry in outside.external_data}
    assert entries == {"location": "encoder.data", "offset": "128", "length": "24"}
    assert outside.data_location == onnx.TensorProto.EXTERNAL


def _doubling() -> Graph:
    graph = Graph("g", "weights.bin")
    x = graph.input("x", DataType.FLOAT, ["B", 100])
    factor = graph.weight("factor", np.float32, (100,), lambda: np.full(100, 2, np.float32))
    graph.op("Mul", [x, factor], "y")
    graph.output("y", DataType.FLOAT, ["B", 100])
    return graph


def test_model_passes_the_checker(tmp_path: Path) -> None:
    """The onnx package accepts the model; a large weight lies in the data file."""
    model, data = _doubling().finish("1", {"key": "value"})
    (tmp_path / "weights.bin").write_bytes(data)
    (tmp_path / "model.onnx").write_bytes(model)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    read = onnx.load_model_from_string(model)
    assert (read.producer_name, read.metadata_props[0].value) == ("glagol.forge", "value")
    assert np.array_equal(np.frombuffer(data, "<f4"), np.full(100, 2))
    assert [d.dim_param for d in read.graph.input[0].type.tensor_type.shape.dim] == ["B", ""]


def test_graph_refuses_mistakes() -> None:
    """A name taken twice, and a weight of another shape than announced."""
    graph = _doubling()
    with pytest.raises(ValueError, match="taken"):
        graph.op("Mul", ["x", "x"], "y")
    graph.weight("short", np.float32, (3,), lambda: np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="short"):
        graph.finish("1", {})


def test_equal_constants_are_shared() -> None:
    """The same integers give one initializer."""
    graph = Graph("g", "weights.bin")
    assert graph.integers(1, -2) == graph.integers(1, -2)
    model, _ = graph.finish("1", {})
    assert len(onnx.ModelProto.FromString(model).graph.initializer) == 1
