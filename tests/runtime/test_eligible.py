"""Which nodes our library computes: those that a graph asks it for and that it can; no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from glagol.core.errors import IntegrityError
from glagol.registry.registry import Registry
from glagol.runtime.external_data import external_tensors
from glagol.runtime.kernels.adapt import DOMAIN, adapt
from glagol.runtime.protobuf import delimited
from glagol.runtime.session import open_session, uses_kernels
from runtime.unit import model, normal, opened, ours
from speech.conftest import MODELS

MICROSOFT = "com.microsoft"
WEIGHTS = normal(1, 50, 33)
INT8 = np.arange(-60, 60, dtype=np.int8).reshape(10, 12)
COLUMNS: dict[str, np.ndarray] = {
    "w": INT8,
    "s": np.full(12, 0.01, np.float32),
    "z": np.zeros(12, np.int8),
    "b": normal(2, 12),
}


def kinds(data: bytes, external: dict[str, np.ndarray] | None = None) -> list[str]:
    """Operators of the adapted graph in their order, ours with a star; [] if it stays as it is."""
    found = adapt(memoryview(data), external or {})
    if found is None:
        return []
    proto = onnx.load_model_from_string(found.graph)
    assert {each.domain: each.version for each in proto.opset_import}[DOMAIN] == 1
    return [node.op_type + "*" * (node.domain == DOMAIN) for node in proto.graph.node]


def product(producer: str = "glagol.forge", weights: np.ndarray = WEIGHTS) -> bytes:
    """x by weights, and y by it."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return model([node], {"x": None}, {"w": weights}, producer=producer)


def int8(
    *inputs: str, dynamic: bool = False, others: Mapping[str, np.ndarray] = MappingProxyType({})
) -> bytes:
    """An int8 product with these inputs, its rows quantised before it."""
    kind = "DynamicQuantizeMatMul" if dynamic else "MatMulIntegerToFloat"
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
        helper.make_node(kind, [*inputs], ["y"], domain=MICROSOFT),
    ]
    return model(nodes[dynamic:], {"x": None}, {**COLUMNS, **others})


def test_a_graph_that_does_not_ask_gets_none_of_ours(library: str) -> None:
    """Two sessions of one process, one of another producer: that one has ONNX Runtime's bits."""
    x = normal(3, 40, 50)
    asking, other = ours(product(), library), opened(product("pytorch"), library)
    assert not uses_kernels(other)
    theirs = opened(product(), None).run(None, {"x": x})[0]
    assert np.array_equal(other.run(None, {"x": x})[0], theirs)
    assert not np.array_equal(asking.run(None, {"x": x})[0], theirs)
    assert np.allclose(asking.run(None, {"x": x})[0], theirs, atol=1e-4)


def test_products_that_vary_are_onnxruntimes(library: str) -> None:
    """Beside one of ours in the same graph, which once took both and refused: the same bits."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "b"], ["y"]),
    ]
    data = model(nodes, {"x": ["t", 50]}, {"w": WEIGHTS})
    assert kinds(data) == ["MatMul*", "Transpose", "MatMul"]
    runs, x = ours(data, library), normal(3, 9, 50)
    a = ours(product(), library).run(None, {"x": x})[0]
    varying = model(nodes[1:], {"a": ["t", 33]}, {})
    expected = opened(varying, None).run(None, {"a": a})[0]
    assert np.array_equal(runs.run(None, {"x": x})[0], expected)


@pytest.mark.parametrize(
    "weights",
    [
        normal(1, 2, 50, 33),
        normal(1, 50),
        np.zeros((50, 0), np.float32),
        normal(1, 50, 33).astype(np.float64),
        normal(1, 50, 33).astype(np.float16),
    ],
)
def test_other_weights_are_onnxruntimes(weights: np.ndarray) -> None:
    """Of one or three axes, of nothing, of another type."""
    assert kinds(product(weights=weights)) == []


def test_weights_that_a_caller_may_replace_are_onnxruntimes() -> None:
    """An initializer that is an input too is only a default."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    assert kinds(model([node], {"x": None, "w": [50, 33]}, {"w": WEIGHTS})) == []
    assert kinds(model([node], {"x": None}, {"w": WEIGHTS})) == ["MatMul*"]


def test_weights_may_be_outside_of_the_graph() -> None:
    """Their shapes and values are those of the views that the session is given."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    data = model([node], {"x": None}, {"w": WEIGHTS})
    proto = onnx.load_model_from_string(data)
    proto.graph.initializer[0].ClearField("raw_data")
    bare = proto.SerializeToString()
    assert kinds(bare) == []
    assert kinds(bare, {"w": WEIGHTS}) == ["MatMul*"]
    assert kinds(bare, {"w": WEIGHTS[0]}) == []


def test_one_reader_of_rows_quantises_them_itself() -> None:
    """As ONNX Runtime makes it of the same two nodes."""
    assert kinds(int8(*["q", "w", "qs", "s", "qz", "z", "b"])) == ["DynamicQuantizeMatMul*"]
    assert kinds(int8(*["q", "w", "qs", "s", "qz"])) == ["DynamicQuantizeMatMul*"]
    assert kinds(int8(*["x", "w", "s", "z", "b"], dynamic=True)) == ["DynamicQuantizeMatMul*"]


def test_several_readers_share_the_quantised_rows() -> None:
    """Another product, a node that moves them, a result of the graph, a graph inside of a node."""
    proto = onnx.load_model_from_string(int8(*["q", "w", "qs", "s", "qz", "z", "b"]))
    node = proto.graph.node[1]
    shared = ["DynamicQuantizeLinear", "MatMulIntegerToFloat*"]
    for more in ("product", "output", "branch"):
        changed = onnx.ModelProto.FromString(proto.SerializeToString())
        expected = shared
        if more == "product":
            other = changed.graph.node.add()
            other.CopyFrom(node)
            other.output[0] = "other"
            expected = [*shared, "MatMulIntegerToFloat*"]
        elif more == "output":
            changed.graph.output.add().CopyFrom(
                helper.make_tensor_value_info("qs", TensorProto.FLOAT, [])
            )
        else:
            value = helper.make_tensor_value_info("v", TensorProto.FLOAT, [])
            inner = helper.make_graph([helper.make_node("Neg", ["qs"], ["v"])], "i", [], [value])
            changed.graph.node.append(
                helper.make_node("If", ["yes"], ["z2"], then_branch=inner, else_branch=inner)
            )
            expected = [*shared, "If"]
        assert kinds(changed.SerializeToString()) == expected, more


@pytest.mark.parametrize(
    ("inputs", "others"),
    [
        ("q w qs s qz z b", {"z": np.eye(1, 12, 3, np.int8)[0]}),  # a zero point of its own
        ("q w qs s qz z b", {"s": np.full((), 0.1, np.float32)}),  # one scale for all columns
        ("q w qs s qz z b", {"b": normal(2, 11)}),
        ("q w qs s qz z b", {"w": INT8.view(np.uint8), "z": np.zeros(12, np.uint8)}),
        ("q w qs s", {}),  # rows without their zero point
        ("q w s s qz z b", {}),  # rows with a scale of another node
        ("q w qs qs qz z b", {}),  # scales that vary
        ("q w qs s qz z qs", {}),  # biases that vary
    ],
)
def test_other_int8_products_are_onnxruntimes(inputs: str, others: dict[str, np.ndarray]) -> None:
    """What the kernel does not compute, or could see only in a call."""
    assert kinds(int8(*inputs.split(), others=others)) == []


def test_attention_beside_other_floats_is_onnxruntimes() -> None:
    """A node does not say its type; where a graph has half precision, it may be that."""
    attributes = {"num_heads": 2, "scale": 0.5}
    node = helper.make_node("MultiHeadAttention", [*"xxx"], ["y"], domain=MICROSOFT, **attributes)
    assert kinds(model([node], {"x": None}, {})) == ["MultiHeadAttention*"]
    cast = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    assert kinds(model([cast, node], {"x": None}, {})) == []
    assert kinds(model([node], {"x": None}, {"h": np.zeros(2, np.float16)})) == []


def test_what_else_a_graph_says_stays() -> None:
    """Names, other operators, versions: all but the domain of our nodes, and two entries."""
    before = onnx.load_model_from_string(product())
    found = adapt(memoryview(product()), {})
    assert found is not None
    after = onnx.load_model_from_string(found.graph)
    assert found.factors == {"w"}
    del after.opset_import[-1], after.metadata_props[-1]
    after.graph.node[0].domain = ""
    before.graph.node[0].domain = ""
    assert after == before


def test_weights_with_other_readers_stay_onnxruntimes() -> None:
    """The library keeps a copy of its own; what another node reads must stay in memory."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "w"], ["y"]),
    ]
    found = adapt(memoryview(model(nodes, {"x": None}, {"w": normal(1, 8, 8)})), {})
    assert found is not None
    assert found.factors == frozenset()


@pytest.mark.parametrize("end", range(0, 90, 7))
def test_a_torn_graph_is_left_to_onnxruntime(end: int) -> None:
    """It is not adapted, and nothing is raised."""
    whole = product(weights=np.ones((2, 2), np.float32))
    assert kinds(whole[:end]) == []


@pytest.mark.parametrize("node", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x08\x01", b"\x2a\x01\x13"])
def test_a_node_that_cannot_be_read_is_left_to_onnxruntime(node: bytes) -> None:
    """Cut off, not UTF-8, a number for a name, an attribute of a kind that does not exist."""
    graph = delimited(1, onnx.load_model_from_string(product()).graph.node[0].SerializeToString())
    asks = delimited(2, b"glagol.forge")
    weights = delimited(5, numpy_helper.from_array(WEIGHTS, "w").SerializeToString())
    assert kinds(asks + delimited(7, graph + weights)) == ["MatMul*"]
    assert kinds(asks + delimited(7, graph + delimited(1, node) + weights)) == []


@pytest.mark.parametrize("variant", ["cpu-fp32", "cpu-int8"])
@pytest.mark.parametrize("head", sorted(MODELS))
def test_every_product_and_attention_of_our_models_is_ours(
    registry: Registry, library: str, head: str, variant: str
) -> None:
    """None is left to ONNX Runtime, and none of ours is added or lost by its optimiser."""
    blobs = registry.open(MODELS[head], variant).blobs
    session = open_session(blobs, "encoder.onnx", device="cpu", threads=1, library=library)
    assert uses_kernels(session)
    expected = {"cpu-fp32": 91 + 8, "cpu-int8": 56 + 33 + 2 + 8}[variant]
    entry = session.get_modelmeta().custom_metadata_map
    assert entry["ai.glagol.operators"] == str(expected)
    data = blobs["encoder.onnx"].data
    views = {each.name: each.view(blobs[each.location].data) for each in external_tensors(data)}
    found = adapt(data, views)
    assert found is not None
    nodes = onnx.load_model_from_string(bytes(data)).graph.node
    products = [node for node in nodes if "MatMul" in node.op_type]
    attentions = [node for node in nodes if node.op_type == "MultiHeadAttention"]
    assert len(products) + len(attentions) == expected
    assert found.factors == {node.input[1] for node in products}


def test_a_library_that_cannot_be_used_falls_back(tmp_path: Path) -> None:
    """ONNX Runtime's bits and a warning; what it refuses without the library is the artifact's."""
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    x = normal(3, 40, 50)
    with pytest.warns(UserWarning, match="without our kernels"):
        runs = opened(product(), str(broken))
    assert not uses_kernels(runs)
    theirs = opened(product(), None).run(None, {"x": x})[0]
    assert np.array_equal(runs.run(None, {"x": x})[0], theirs)
    unknown = onnx.load_model_from_string(product())
    unknown.graph.node.append(helper.make_node("NoSuchOperator", ["x"], ["z"]))
    with pytest.warns(match="our kernels"), pytest.raises(IntegrityError, match="NoSuchOperator"):
        opened(unknown.SerializeToString(), str(broken))


def test_weights_that_are_listed_as_numbers_are_onnxruntimes() -> None:
    """Only those whose bytes are there as they lie in memory are read."""
    made = numpy_helper.from_array(WEIGHTS, "w")
    listed = onnx.TensorProto(name="w", data_type=1, dims=made.dims, float_data=WEIGHTS.ravel())
    proto = onnx.load_model_from_string(product())
    proto.graph.initializer[0].CopyFrom(listed)
    assert kinds(proto.SerializeToString()) == []
