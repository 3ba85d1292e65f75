"""Replace graph nodes by the operators of Glagol's native library, where it can compute them.

The library's operators have a domain of their own, so they cannot be confused with ONNX Runtime's.
Only graphs whose producer is the forge are changed. In such a graph each node that one of the
operators in use (`glagol.runtime.kernels.choice`) can compute is replaced by that operator; every
other node stays ONNX Runtime's. The graph is changed in memory only, never the artifact.

Fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: ModelProto.producer_name
= 2, graph = 7, opset_import = 8, metadata_props = 14; GraphProto.node = 1, initializer = 5, input =
11, output = 12; NodeProto.input = 1, output = 2, op_type = 4, attribute = 5, domain = 7.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glagol.runtime.external_data import DTYPES
from glagol.runtime.protobuf import Message, delimited, fields, integer, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    Constants = Mapping[str, npt.NDArray[Any]]

DOMAIN = "ai.glagol"
OPERATORS = "ai.glagol.operators"
"""Metadata entry of an adapted graph: how many nodes are the library's."""

PRODUCER = "glagol.forge"
MICROSOFT = "com.microsoft"
OTHER_FLOATS = {10, 11, 16}
"""TensorProto.DataType of float16, double and bfloat16, which the library does not compute."""

MATMUL = ("", "MatMul")
QUANTISE = ("", "DynamicQuantizeLinear")
QUANTISED = (MICROSOFT, "MatMulIntegerToFloat")
DYNAMIC = (MICROSOFT, "DynamicQuantizeMatMul")
ATTENTION = (MICROSOFT, "MultiHeadAttention")
VECTOR = "Vector"
"""Prefix of the names of the library's operators for AVX2; those for AMX have no prefix."""

INTEGERS = {QUANTISED[1], DYNAMIC[1], VECTOR + QUANTISED[1], VECTOR + DYNAMIC[1]}
PRODUCTS = {MATMUL[1], *INTEGERS}


@dataclass(frozen=True, slots=True)
class Adapted:
    """A graph with the library's operators.

    Attributes:
        graph: bytes of the ONNX model.
        factors: names of the constants that are used only as weights of the library's products.
            The library re-orders them when a session opens, and does not read them afterwards.
    """

    graph: bytes
    factors: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: tuple[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, int | float | None]
    captured: frozenset[str]
    body: bytes


@dataclass(slots=True)
class _Graph:
    nodes: list[_Node] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    single: bool = True


def adapt(model: memoryview, external: Constants, operators: frozenset[str]) -> Adapted | None:
    """Return the graph with the library's operators in place of the nodes that they can compute.

    Args:
        model: bytes of the ONNX file.
        external: the initializers outside of the file, [...] each, by name.
        operators: names of the library's operators that are used on this processor.

    Returns:
        The changed graph; None when the graph is not the forge's, has no such node, or cannot be
        read (ONNX Runtime then reports the error).
    """
    try:
        parts = [*fields(model)]
        producers = [_text(value) for number, value, _ in parts if number == 2]
        graphs = [value for number, value, _ in parts if number == 7]
        if producers != [PRODUCER] or len(graphs) != 1:
            return None
        whole_graph = bytes(graphs[0])
        graph = _read(whole_graph, external)
    except (ValueError, IndexError, TypeError, KeyError):
        return None
    nodes = _replaced(graph, operators)
    ours = [node for node in nodes if node and node.kind[0] == DOMAIN]
    if not ours:
        return None
    body, rest = bytearray(), iter(nodes)
    for number, _, whole in fields(whole_graph):
        node = next(rest) if number == 1 else None
        if number != 1:
            body += whole
        elif node is not None:
            body += delimited(1, node.body)
    opset = delimited(1, DOMAIN.encode()) + integer(2, 1)
    entry = delimited(1, OPERATORS.encode()) + delimited(2, str(len(ours)).encode())
    out = b"".join(bytes(whole) for number, _, whole in parts if number != 7)
    out += delimited(7, body) + delimited(8, opset) + delimited(14, entry)
    return Adapted(out, _factors(nodes, graph))


def _replaced(graph: _Graph, operators: frozenset[str]) -> list[_Node | None]:
    """The nodes after the replacement; None for a quantisation that became part of a product."""
    uses = Counter(name for node in graph.nodes for name in (*node.inputs, *node.captured))
    uses.update(graph.returned)
    makers = {name: at for at, node in enumerate(graph.nodes) for name in node.outputs}
    nodes: list[_Node | None] = [*graph.nodes]
    for at, node in enumerate(graph.nodes):
        can = ELIGIBLE.get(node.kind)
        prefix = next((p for p in ("", VECTOR) if p + node.kind[1] in operators), None)
        if can is None or prefix is None or len(node.outputs) != 1 or not can(node, graph):
            continue
        if node.kind != QUANTISED:
            nodes[at] = _ours(node, prefix + node.kind[1], node.inputs)
            continue
        maker = makers.get(node.inputs[2], -1)
        quantise = graph.nodes[maker]
        if maker < 0 or not _scaled_by(quantise, node):
            continue
        alone = sum(uses[name] for name in quantise.outputs) == len(quantise.outputs)
        if not alone or node.inputs[0] != quantise.outputs[0]:
            nodes[at] = _ours(node, prefix + node.kind[1], node.inputs)
            continue
        weights = (node.inputs[1], node.inputs[3], *node.inputs[5:])
        nodes[at] = _ours(node, prefix + DYNAMIC[1], (quantise.inputs[0], *weights))
        nodes[maker] = None
    return nodes


def _factors(nodes: list[_Node | None], graph: _Graph) -> frozenset[str]:
    found: set[str] = set()
    others = set(graph.returned)
    for node in (each for each in nodes if each):
        second = slice(1, 2) if node.kind[0] == DOMAIN and node.kind[1] in PRODUCTS else slice(0)
        inputs = [*node.inputs]
        found.update(inputs[second])
        del inputs[second]
        others.update(inputs, node.captured)
    return frozenset(found - others)


# Which nodes are eligible


def _product(node: _Node, graph: _Graph) -> bool:
    """Whether the node is a product with a constant float32 matrix."""
    return (
        len(node.inputs) == 2
        and not node.attributes
        and _matrix(graph.constants, node.inputs[1], "<f4")
    )


def _dynamic(node: _Node, graph: _Graph) -> bool:
    """Whether the inputs fit: rows, weights, scales, zero points, biases."""
    inputs = (*node.inputs, "", "")
    return len(node.inputs) in {3, 4, 5} and _columns(graph, inputs[1], inputs[2], inputs[3:5])


def _integer(node: _Node, graph: _Graph) -> bool:
    """Whether the inputs fit.

    They are rows, weights, the rows' scale, scales, the rows' zero point, zero points, biases.
    """
    inputs = (*node.inputs, "", "")
    return len(node.inputs) in {5, 6, 7} and _columns(graph, inputs[1], inputs[3], inputs[5:7])


def _attention(node: _Node, graph: _Graph) -> bool:
    """Whether the node is float32 attention to all keys, without masks, biases or a cache."""
    attributes = node.attributes
    heads, scale = attributes.get("num_heads"), attributes.get("scale")
    return (
        len(node.inputs) == 3
        and all(node.inputs)
        and graph.single
        and attributes.keys() <= {"num_heads", "scale", "unidirectional"}
        and isinstance(heads, int)
        and 0 < heads < 1 << 31
        and isinstance(scale, float)
        and 0 < scale < np.inf
        and attributes.get("unidirectional", 0) == 0
    )


ELIGIBLE: Mapping[tuple[str, str], Callable[[_Node, _Graph], bool]] = {
    MATMUL: _product,
    QUANTISED: _integer,
    DYNAMIC: _dynamic,
    ATTENTION: _attention,
}


def _scaled_by(quantise: _Node, node: _Node) -> bool:
    """Whether `quantise` computes the scale and the zero point (u8) of the rows of `node`."""
    return (
        quantise.kind == QUANTISE
        and len(quantise.inputs) == 1
        and len(quantise.outputs) == 3
        and node.inputs[2:5:2] == quantise.outputs[1:]
    )


def _matrix(constants: Constants, name: str, dtype: str) -> bool:
    """Whether `name` is a constant matrix of this type that is not empty."""
    found = constants.get(name)
    return found is not None and found.dtype == dtype and found.ndim == 2 and found.size > 0


def _columns(graph: _Graph, weights: str, scales: str, rest: tuple[str, ...]) -> bool:
    """Whether int8 weights [K, N] and, for each column, scale, zero point and bias are constant.

    Zero points must be 0. Zero points and biases may be left out.
    """
    constants = graph.constants
    if not _matrix(constants, weights, "i1"):
        return False
    wanted = constants[weights].shape[1:]
    for name, dtype in ((scales, "<f4"), (rest[0], "i1"), (rest[1], "<f4")):
        found = constants.get(name)
        if not name and name is not scales:
            continue
        if found is None or found.dtype != dtype or found.shape != wanted:
            return False
    return not (rest[0] and constants[rest[0]].any())


# Reading and writing


def _read(body: bytes, external: Constants) -> _Graph:
    graph = _Graph()
    for number, value, _ in fields(body):
        if number == 1:
            graph.nodes.append(_node(value))
        elif number == 5:
            _take_constant(graph, value, external)
        elif number == 11:
            graph.given.add(_name(value))
            graph.single &= _type(value) not in OTHER_FLOATS
        elif number == 12:
            graph.returned.add(_name(value))
    for name in graph.given & graph.constants.keys():  # defaults of inputs, not constants
        del graph.constants[name]
    graph.single &= not any(
        node.kind == ("", "Cast") and node.attributes.get("to") in OTHER_FLOATS
        for node in graph.nodes
    )
    return graph


def _node(body: bytes) -> _Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [], 7: []}
    attributes: dict[str, int | float | None] = {}
    captured: set[str] = set()
    for number, value, _ in fields(body):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            attributes.update([_attribute(value)])
            captured.update(_captured(value))
    domain = "".join(texts[7][-1:])
    kind = ("" if domain == "ai.onnx" else domain, "".join(texts[4][-1:]))
    return _Node(kind, (*texts[1],), (*texts[2],), attributes, frozenset(captured), body)


def _attribute(body: bytes) -> tuple[str, int | float | None]:
    """Read the name (field 1) and the value: a float (2) or an integer (3) by the type (20).

    The value is None for any other type.
    """
    name, kind, real, whole = "", 0, 0.0, 0
    for number, value, _ in fields(body):
        if number == 1:
            name = _text(value)
        elif number == 2:
            (real,) = struct.unpack("<f", value)
        elif number == 3:
            whole = int(value)
        elif number == 20:
            kind = int(value)
    return name, {1: real, 2: whole}.get(kind)


def _captured(attribute: bytes) -> Iterator[str]:
    """Every name that a graph inside of a node reads; such a graph is field 6 or 11."""
    for graph in (value for number, value, _ in fields(attribute) if number in {6, 11}):
        for number, value, _ in fields(graph):
            if number == 1:
                node = _node(value)
                yield from (*node.inputs, *node.captured)
            elif number == 12:
                yield _name(value)


def _take_constant(graph: _Graph, body: bytes, external: Constants) -> None:
    """Read an initializer: dimensions are field 1, type 2, name 8, raw bytes 9."""
    shape: list[int] = []
    kind, name, raw = 0, "", None
    for number, value, _ in fields(body):
        if number == 1:
            shape += [value] if isinstance(value, int) else packed(value)
        elif number == 2:
            kind = int(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = value
    graph.single &= kind not in OTHER_FLOATS
    if name in external:
        graph.constants[name] = external[name]
    elif raw is not None and kind in DTYPES:
        graph.constants[name] = np.frombuffer(raw, DTYPES[kind]).reshape(shape)


def _ours(node: _Node, kind: str, inputs: tuple[str, ...]) -> _Node:
    """The node with another type and inputs in the library's domain; its other fields are kept."""
    body = b"".join(delimited(1, name.encode()) for name in inputs)
    for number, _, whole in fields(node.body):
        body += whole if number not in {1, 4, 7} else b""
    body += delimited(4, kind.encode()) + delimited(7, DOMAIN.encode())
    return replace(node, kind=(DOMAIN, kind), inputs=inputs, body=body)


def _name(value_info: bytes) -> str:
    return "".join(_text(value) for number, value, _ in fields(value_info) if number == 1)


def _type(value_info: bytes) -> int:
    """Element type of a tensor: field 2 (type), 1 (tensor type), 1 (element type); 0 if absent."""
    at: Any = value_info
    for wanted in (2, 1, 1):
        at = next((value for number, value, _ in fields(at) if number == wanted), None)
        if at is None:
            return 0
    return int(at)


def _text(value: Message) -> str:
    return str(value, "utf-8")
