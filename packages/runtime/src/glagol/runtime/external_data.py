"""Which tensors of an ONNX graph lie in an external file, and where.

ONNX Runtime takes weights that the caller holds (`add_external_initializers`) by tensor name. The
names are in the graph, so this reads just enough of the protocol buffer
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) without the onnx package:
ModelProto.graph = 7, GraphProto.node = 1, initializer = 5, NodeProto.input = 1, op_type = 4,
TensorProto.dims = 1, data_type = 2, name = 8, external_data = 13 (key = 1, value = 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2"}
"""TensorProto.DataType to numpy."""

PRODUCTS = {b"MatMul", b"DynamicQuantizeMatMul", b"MatMulIntegerToFloat"}
"""Operators whose second input is a matrix that a kernel re-orders when a session opens."""

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """One initializer outside of the graph.

    Attributes:
        name: of the tensor in the graph.
        location: name of the file that holds it.
        offset: of its first byte in that file.
        dtype: numpy type string.
        shape: its dimensions.
    """

    name: str
    location: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def view(self, data: memoryview) -> npt.NDArray[Any]:
        """The tensor [*shape] inside the file's bytes, not copied.

        Raises:
            IntegrityError: `artifact_altered`, the file is too short for it.
        """
        count = int(np.prod(self.shape, dtype=np.int64))
        try:
            return np.frombuffer(data, self.dtype, count, self.offset).reshape(self.shape)
        except ValueError as error:
            raise _altered(f"{self.location} is too short for {self.name}") from error


def external_tensors(graph: memoryview) -> list[ExternalTensor]:
    """List the external initializers of a model, whatever their shapes [...].

    Args:
        graph: bytes of the ONNX file.

    Returns:
        Its external initializers in file order.

    Raises:
        IntegrityError: `artifact_altered`, the bytes are not a readable ONNX model.
    """
    try:
        return [
            tensor
            for field, body in _fields(graph)
            if field == 7
            for number, initializer in _fields(body)
            if number == 5
            if (tensor := _external(initializer)) is not None
        ]
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise _altered(f"the ONNX graph cannot be read: {error!r}") from error


def factors(graph: memoryview) -> set[str]:
    """Names of what is the second operand of products, and nothing else, in a model's graph.

    Args:
        graph: bytes of the ONNX file; graphs inside its nodes (If, Loop) are not looked into.

    Raises:
        IntegrityError: `artifact_altered`, the bytes are not a readable ONNX model.
    """
    found: set[str] = set()
    others: set[str] = set()
    try:
        for node in (b for f, m in _fields(graph) if f == 7 for n, b in _fields(m) if n == 1):
            fields = [(number, value) for number, value in _fields(node) if number in {1, 4}]
            inputs = [str(value, "utf-8") for number, value in fields if number == 1]
            kind = b"".join(bytes(value) for number, value in fields if number == 4)
            second = slice(1, 2) if kind in PRODUCTS else slice(0)
            found.update(inputs[second])
            del inputs[second]
            others.update(inputs)
    except (ValueError, IndexError, TypeError) as error:
        raise _altered(f"the ONNX graph cannot be read: {error!r}") from error
    return found - others


def _altered(what: str) -> IntegrityError:
    remedy = "build the model again: glagol models build ID"
    return IntegrityError("artifact_altered", what, remedy)


def _external(initializer: memoryview) -> ExternalTensor | None:
    shape: list[int] = []
    kind, name = 0, ""
    entries: dict[str, str] = {}
    for field, value in _fields(initializer):
        if field == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif field == 2:
            kind = value
        elif field == 8:
            name = bytes(value).decode()
        elif field == 13:
            pair = dict(_fields(value))
            entries[bytes(pair[1]).decode()] = bytes(pair[2]).decode()
    if not entries:
        return None
    offset = int(entries.get("offset", "0"))
    return ExternalTensor(name, entries["location"], offset, DTYPES[kind], tuple(shape))


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Fields of one message as (number, int or memoryview)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == DELIMITED:
            size, at = _varint(data, at)
        elif kind in {FIXED32, FIXED64}:
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field ends after the message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
