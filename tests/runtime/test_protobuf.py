"""Messages of protocol buffers: read and written as others do, refused where they are torn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, StringStringEntryProto, TensorProto

from glagol.runtime.protobuf import delimited, fields, integer, packed

NUMBERS = st.integers(0, 2**63 - 1)


@given(value=NUMBERS, name=st.text(max_size=300), real=st.floats(width=32, allow_nan=False))
def test_what_onnx_writes_is_read(value: int, name: str, real: float) -> None:
    """Integers, texts and floats by their numbers; the whole fields are the message again."""
    data = AttributeProto(name=name, i=value, f=real, type=2).SerializeToString()
    found = list(fields(data))
    assert b"".join(whole for *_, whole in found) == data
    held = {number: each for number, each, _ in found}
    assert held.get(1, b"") == name.encode()
    assert held.get(3, 0) == value
    assert len(held.get(2, b"four")) == 4
    assert [(n, bytes(w)) for n, _, w in fields(memoryview(data))] == [(n, w) for n, _, w in found]


@given(key=st.text(max_size=300), value=NUMBERS, sizes=st.lists(NUMBERS, max_size=9))
def test_what_is_written_onnx_reads(key: str, value: int, sizes: list[int]) -> None:
    """Texts of any length and integers of any size; and packed integers are read."""
    entry = delimited(1, key.encode()) + delimited(2, str(value).encode())
    read = StringStringEntryProto.FromString(entry)
    assert (read.key, read.value) == (key, str(value))
    assert AttributeProto.FromString(integer(3, value)).i == value
    encoded = TensorProto(dims=sizes).SerializeToString()
    dims = [each for number, each, _ in fields(encoded) if number == 1]
    assert [
        n for each in dims for n in (packed(each) if isinstance(each, bytes) else [each])
    ] == sizes


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x0a\x05abcd", ValueError),  # a field ends after the message
        (b"\x0d\x01\x02\x03", ValueError),
        (b"\x0b", ValueError),  # a group
        (b"\x08\x80", IndexError),  # an integer without its end
        (b"\x80", IndexError),
        (b"\x0a", IndexError),
    ],
)
def test_torn_messages_are_refused(data: bytes, error: type[Exception]) -> None:
    """As bytes and as a view."""
    for each in (data, memoryview(data)):
        with pytest.raises(error):
            list(fields(each))
