"""Safetensors: what is written comes back, what is broken is refused, s8 weights round well."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glagol.forge.checkpoints.safetensors import CheckpointError, Tensors, write_safetensors
from glagol.forge.onnx.quantize import quantise

dtypes = st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i4", "i8", "?"])
arrays = dtypes.flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), arrays, max_size=5))
def test_tensors_survive(tensors: dict[str, np.ndarray]) -> None:
    """Names, types, shapes and bits come back; the order of insertion leaves no trace."""
    data = write_safetensors(tensors)
    assert data == write_safetensors(dict(reversed(list(tensors.items()))))
    read = Tensors(data)
    assert sorted(read) == sorted(tensors)
    for name, value in tensors.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
        assert read[name].tobytes() == value.tobytes()


def _file(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 3) + b"{}}",
        _file([]),
        _file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        _file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(8)),
        _file({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, bytes(4)),
        _file({"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        _file({"a": {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}}),
        _file({"a": 5}),
    ],
)
def test_broken_files_are_refused(data: bytes) -> None:
    """A short, lying or foreign header never gives a tensor."""
    with pytest.raises(CheckpointError):
        Tensors(data)


def test_views_cannot_be_written() -> None:
    """Tensors are views of the file; writing through them would corrupt it."""
    read = Tensors(write_safetensors({"a": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match="read-only"):
        read["a"][0] = 1


@given(hnp.arrays("f4", (7, 3), elements=st.floats(-1e3, 1e3, width=32)))
def test_rounding_is_within_half_a_step(weight: np.ndarray) -> None:
    """Every weight lies within half a step of its integer; zero is exact."""
    made = quantise(weight)
    error = np.abs(made.values.astype(np.float64) * made.scales - weight)
    assert (error <= made.scales.astype(np.float64) * 0.5001).all()
    assert np.abs(made.values.astype(int)).max(initial=0) <= 127
    assert (made.values[weight == 0] == 0).all()


def test_quantising_refuses_what_is_not_finite() -> None:
    """A NaN in a checkpoint must not become a plausible integer."""
    with pytest.raises(ValueError, match="finite"):
        quantise(np.array([[np.nan, 1]], np.float32))
