"""Read and write weights in the safetensors format, as data only.

A safetensors file is an 8-byte little-endian length, a JSON header and raw tensors: nothing in it
can run. Source: the format description of huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000
_MAX_ELEMENTS = 1 << 40


class CheckpointError(ValueError):
    """The bytes are no sound safetensors file, or a tensor that the model needs is missing."""


class Tensors(Mapping[str, Array]):
    """The tensors of one safetensors file, read on demand from a buffer without copying.

    Args:
        data: the whole file, for instance a read-only mmap.

    Raises:
        CheckpointError: header broken, unknown type, or offsets outside the file.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        if len(view) < _LENGTH_BYTES:
            raise CheckpointError("shorter than a safetensors header")
        (length,) = struct.unpack("<Q", view[:_LENGTH_BYTES])
        if length > min(_MAX_HEADER, len(view) - _LENGTH_BYTES):
            raise CheckpointError(f"header of {length} bytes does not fit the file")
        self._body = view[_LENGTH_BYTES + length :]
        try:
            header = json.loads(bytes(view[_LENGTH_BYTES : _LENGTH_BYTES + length]))
        except ValueError as error:
            raise CheckpointError(f"header is not JSON: {error}") from error
        if not isinstance(header, dict):
            raise CheckpointError("header is not a JSON object")
        header.pop("__metadata__", None)
        self._entries = {name: self._entry(name, entry) for name, entry in header.items()}

    def _entry(
        self, name: str, entry: dict[str, Any]
    ) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
        try:
            dtype, shape = _DTYPES[entry["dtype"]], tuple(int(n) for n in entry["shape"])
            begin, end = (int(n) for n in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"tensor {name}: bad header entry {entry!r}") from error
        if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(self._body):
            raise CheckpointError(f"tensor {name}: lies outside the file")
        if math.prod(shape) * dtype.itemsize != end - begin:
            raise CheckpointError(f"tensor {name}: {end - begin} bytes for shape {shape}")
        if math.prod(size or 1 for size in shape) > _MAX_ELEMENTS:  # beside an axis of size 0
            raise CheckpointError(f"tensor {name}: the shape {shape} is too large")
        return dtype, shape, begin

    def __getitem__(self, name: str) -> Array:
        """Return a read-only view of tensor ``name``. Raises KeyError."""
        dtype, shape, begin = self._entries[name]
        count = math.prod(shape)
        flat = np.frombuffer(self._body, dtype=dtype, count=count, offset=begin)
        flat.flags.writeable = False
        return flat.reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def write_safetensors(tensors: Mapping[str, Array]) -> bytes:
    """Return a safetensors file: names sorted, tensors packed in that order, 8-byte header pad.

    Raises:
        CheckpointError: a tensor has a type the format does not know.
    """
    header: dict[str, dict[str, object]] = {}
    parts: list[bytes] = []
    position = 0
    for name in sorted(tensors):
        value = tensors[name]
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        if little.dtype not in _NAMES:
            raise CheckpointError(f"tensor {name}: type {value.dtype} cannot be written")
        parts.append(little.tobytes())
        header[name] = {
            "dtype": _NAMES[little.dtype],
            "shape": list(value.shape),
            "data_offsets": [position, position + little.nbytes],
        }
        position += little.nbytes
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])
