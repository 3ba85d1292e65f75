"""Reads and writes messages of protocol buffers, as much as ONNX graphs need.

Source: the wire format (protobuf.dev, "Encoding"). A message is a row of fields: number and kind in
one integer, then the value. Groups, which proto3 no longer has, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: which field it is.
        value: an int, or a memoryview of what is delimited or of fixed size.
        whole: the field with its key, as it lies in the message.
    """

    number: int
    value: Any
    whole: memoryview


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of one message in their order.

    Raises:
        ValueError: a field ends after the message, or is of no kind known here.
        IndexError: the message ends within an integer.
    """
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield Field(key >> 3, value, data[start:at])
            continue
        if kind == DELIMITED:
            size, at = _varint(data, at)
        elif kind in {FIXED32, FIXED64}:
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field ends after the message")
        yield Field(key >> 3, data[at : at + size], data[start : at + size])
        at += size


def packed(data: memoryview) -> list[int]:
    """The integers [...] of a packed field."""
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def delimited(number: int, value: bytes | bytearray | memoryview) -> bytes:
    """A field that holds bytes, a text or a message."""
    return b"".join((_number(number << 3 | DELIMITED), _number(len(value)), value))


def integer(number: int, value: int) -> bytes:
    """A field that holds an integer, not negative."""
    return _number(number << 3 | VARINT) + _number(value)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
