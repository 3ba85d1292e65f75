"""A minimal, deterministic writer of ONNX protobuf messages.

Only what an authored graph needs is here: nodes, attributes, tensors (inline or in an external
data file), typed inputs and outputs, one model. Fields are written in the order of their numbers
and nothing depends on hashing, so equal calls give equal bytes on every machine.

Source: the protobuf wire format (protobuf.dev, "Encoding") and onnx/onnx.proto of ONNX 1.12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

Attribute = int | float | str | tuple[int, ...]
"""An attribute value; the Python type chooses the ONNX type."""

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_MASK64 = (1 << 64) - 1
_EXTERNAL = 1


class DataType(IntEnum):
    """Element types of ONNX tensors (``TensorProto.DataType``)."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    INT32 = 6
    INT64 = 7
    BOOL = 9
    FLOAT16 = 10


class _AttributeType(IntEnum):
    FLOAT = 1
    INT = 2
    STRING = 3
    INTS = 7


@dataclass(frozen=True, slots=True)
class External:
    """Where a tensor's bytes lie: a file beside the model, an offset and a length in bytes."""

    location: str
    offset: int
    length: int


def varint(value: int) -> bytes:
    """Encode an integer in base 128, negative ones as 64-bit two's complement."""
    value &= _MASK64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def _integer(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + varint(value)


def _chunk(number: int, value: bytes) -> bytes:
    return _tag(number, _BYTES) + varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _chunk(number, value.encode())


def _float(number: int, value: float) -> bytes:
    return _tag(number, _FIXED32) + struct.pack("<f", value)


def attribute(name: str, value: Attribute) -> bytes:
    """Encode an AttributeProto holding an int, a float, a string or a tuple of ints.

    Raises:
        TypeError: for any other value, ``bool`` included.
    """
    if isinstance(value, bool):
        raise TypeError(f"attribute {name}: write 0 or 1, not a bool")
    if isinstance(value, int):
        return _text(1, name) + _integer(3, value) + _integer(20, _AttributeType.INT)
    if isinstance(value, float):
        return _text(1, name) + _float(2, value) + _integer(20, _AttributeType.FLOAT)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _integer(20, _AttributeType.STRING)
    if isinstance(value, tuple):
        integers = b"".join(_integer(8, item) for item in value)
        return _text(1, name) + integers + _integer(20, _AttributeType.INTS)
    raise TypeError(f"attribute {name}: cannot hold {type(value).__name__}")


def node(
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    name: str,
    domain: str = "",
    attributes: Mapping[str, Attribute] | None = None,
) -> bytes:
    """Encode a NodeProto; an empty input name is an absent optional input."""
    parts = [_text(1, item) for item in inputs]
    parts += [_text(2, item) for item in outputs]
    parts += [_text(3, name), _text(4, kind)]
    for key, value in sorted((attributes or {}).items()):
        parts.append(_chunk(5, attribute(key, value)))
    if domain:
        parts.append(_text(7, domain))
    return b"".join(parts)


def tensor(name: str, kind: DataType, shape: Sequence[int], data: bytes | External) -> bytes:
    """Encode a TensorProto with raw little-endian data inline or a reference to a file."""
    parts = [_integer(1, size) for size in shape]
    parts += [_integer(2, kind), _text(8, name)]
    if not isinstance(data, External):
        return b"".join([*parts, _chunk(9, data)])
    entries = (
        ("location", data.location),
        ("offset", str(data.offset)),
        ("length", str(data.length)),
    )
    parts += [_chunk(13, _text(1, key) + _text(2, value)) for key, value in entries]
    return b"".join([*parts, _integer(14, _EXTERNAL)])


def value_info(name: str, kind: DataType, shape: Sequence[int | str]) -> bytes:
    """Encode a ValueInfoProto; a string in ``shape`` names a dynamic axis."""
    dimensions = b"".join(
        _chunk(1, _text(2, size) if isinstance(size, str) else _integer(1, size)) for size in shape
    )
    tensor_type = _integer(1, kind) + _chunk(2, dimensions)
    return _text(1, name) + _chunk(2, _chunk(1, tensor_type))


def graph(
    name: str,
    *,
    nodes: Iterable[bytes],
    initializers: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
) -> bytes:
    """Encode a GraphProto from messages that are already encoded; nodes in topological order."""
    parts = [_chunk(1, item) for item in nodes]
    parts.append(_text(2, name))
    for number, items in ((5, initializers), (11, inputs), (12, outputs)):
        parts += [_chunk(number, item) for item in items]
    return b"".join(parts)


def model(
    encoded_graph: bytes,
    *,
    ir_version: int,
    producer: str,
    producer_version: str,
    opsets: Mapping[str, int],
    metadata: Mapping[str, str],
) -> bytes:
    """Encode a ModelProto: the bytes of an ``.onnx`` file."""
    parts = [_integer(1, ir_version), _text(2, producer), _text(3, producer_version)]
    parts.append(_chunk(7, encoded_graph))
    for domain, version in sorted(opsets.items()):
        parts.append(_chunk(8, _text(1, domain) + _integer(2, version)))
    for key, value in sorted(metadata.items()):
        parts.append(_chunk(14, _text(1, key) + _text(2, value)))
    return b"".join(parts)
