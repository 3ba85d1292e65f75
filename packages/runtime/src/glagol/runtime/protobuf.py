"""Read and write the parts of the protocol buffer format that ONNX graphs use.

Source: the wire format (protobuf.dev, "Encoding"). A message is a row of fields: number and kind in
one integer, then the value. Groups, which proto3 no longer has, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


Message = bytes | memoryview
"""Bytes of a message. Of bytes, small fields are read twice as fast; views copy no large ones."""


def fields(data: Message) -> Iterator[tuple[int, Any, Any]]:
    """The fields of one message in their order.

    Yields:
        The field's number; its value, an int, or for what is delimited or of fixed size a slice of
        `data`; and the slice that is the whole field with its key.

    Raises:
        ValueError: a field ends after the message, or is of no kind known here.
        IndexError: the message ends within an integer.
    """
    at, end = 0, len(data)
    while at < end:
        start = at
        key, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
        kind = key & 7
        if kind == DELIMITED:
            size, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
        elif kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value, data[start:at]
            continue
        elif kind in {FIXED32, FIXED64}:
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        first, at = at, at + size
        if at > end:
            raise ValueError("a field ends after the message")
        yield key >> 3, data[first:at], data[start:at]


def packed(data: Message) -> list[int]:
    """The integers [...] of a packed field."""
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def delimited(number: int, value: Message | bytearray) -> bytes:
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


def _varint(data: Message, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
