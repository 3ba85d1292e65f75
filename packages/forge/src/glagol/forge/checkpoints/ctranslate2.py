"""Read weights that CTranslate2's converters write (`model.bin`), as data only.

The file is little-endian and contains no code: a version, the name and revision of
a specification, variables (name, shape, type, raw values), and aliases of variables that are equal.
It is consumed to its last byte. Weights are float32 or float16; a file with quantised weights is
refused, because the original weights cannot be restored from it.

Source: OpenNMT/CTranslate2 at 0d8bcd3, python/ctranslate2/specs/model_spec.py and
src/models/model.cc (binary version 6).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError

__all__ = ["VERSION", "Checkpoint", "read_ctranslate2"]

VERSION: Final = 6
"""The version of the binary format that is read; files of any other are refused."""

VARIABLES_MAX: Final = 20_000
RANK_MAX: Final = 8

_TYPES: Final[Mapping[int, str]] = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "bfloat16"}
_FLOATS: Final = frozenset({"<f4", "<f2"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a file.

    Attributes:
        specification: the converter's name for the kind of model.
        revision: revision of the specification.
        tensors: weights by name, read-only views of the file; an alias is another name of the same.
        numbers: settings by name: the variables that hold a single integer.
    """

    specification: str
    revision: int
    tensors: Mapping[str, NDArray[np.generic]]
    numbers: Mapping[str, int]


def read_ctranslate2(data: bytes | memoryview) -> Checkpoint:
    """Read a `model.bin`.

    Nothing is copied: the tensors are views of ``data`` (a read-only mmap, for example) and keep it
    alive.

    Args:
        data: the whole file.

    Raises:
        CheckpointError: another binary version, quantised weights, an unknown type, a repeated
            name, an alias of an unknown variable, or a file that is too short or too long.
    """
    cursor = _Cursor(memoryview(data).cast("B"))
    try:
        return _read(cursor)
    except struct.error as error:
        raise CheckpointError(f"the file ends too early, at byte {cursor.place}") from error


def _read(cursor: _Cursor) -> Checkpoint:
    version = cursor.number("<I")
    if version != VERSION:
        raise CheckpointError(f"binary version {version}; only {VERSION} is read")
    specification, revision = cursor.text(), cursor.number("<I")
    tensors: dict[str, NDArray[np.generic]] = {}
    numbers: dict[str, int] = {}
    for _ in range(_count(cursor, "variables")):
        name = cursor.text()
        if name in tensors or name in numbers:
            raise CheckpointError(f"the variable {name} occurs twice")
        value = _variable(cursor, name)
        if value.dtype.kind == "f":
            tensors[name] = value
        else:
            numbers[name] = int(value)
    for _ in range(_count(cursor, "aliases")):
        name, original = cursor.text(), cursor.text()
        if name in tensors or original not in tensors:
            raise CheckpointError(f"the alias {name} of {original} is a used name, or of no tensor")
        tensors[name] = tensors[original]
    if cursor.left:
        raise CheckpointError(f"{cursor.left} bytes follow the last variable")
    return Checkpoint(specification, revision, tensors, numbers)


def _count(cursor: _Cursor, what: str) -> int:
    count = cursor.number("<I")
    if count > VARIABLES_MAX:
        raise CheckpointError(f"{count} {what}, the limit is {VARIABLES_MAX}")
    return count


def _variable(cursor: _Cursor, name: str) -> NDArray[np.generic]:
    rank = cursor.number("<B")
    if rank > RANK_MAX:
        raise CheckpointError(f"{name} has {rank} axes, the limit is {RANK_MAX}")
    shape = tuple(cursor.number("<I") for _ in range(rank))
    kind = cursor.number("<B")
    length = cursor.number("<I")
    dtype = _TYPES.get(kind)
    if dtype is None:
        raise CheckpointError(f"{name} has the unknown type {kind}")
    scalar = math.prod(shape) == 1 and rank <= 1
    if dtype not in _FLOATS and (not scalar or dtype == "bfloat16"):
        raise CheckpointError(
            f"{name} holds {np.dtype(dtype).name if dtype != 'bfloat16' else dtype} weights;"
            " only float32 and float16 are read: take the conversion without quantisation"
        )
    if length != math.prod(shape) * np.dtype(dtype).itemsize:
        raise CheckpointError(f"{name} of shape {shape} has {length} bytes")
    raw = cursor.take(length)
    return np.frombuffer(raw, dtype).reshape(shape)


class _Cursor:
    """A position in the file that only moves forward."""

    def __init__(self, data: memoryview) -> None:
        self._data = data.toreadonly()
        self.place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.place

    def take(self, count: int) -> memoryview:
        """Read the next `count` bytes; raises struct.error when the file has fewer."""
        if count > self.left:
            raise struct.error
        self.place += count
        return self._data[self.place - count : self.place]

    def number(self, form: str) -> int:
        value: int
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def text(self) -> str:
        """Read a name: its length, which counts the NUL at its end, then its bytes."""
        raw = bytes(self.take(self.number("<H")))
        if raw[-1:] != b"\0" or not raw[:-1].isascii() or not raw[:-1].decode().isprintable():
            raise CheckpointError(f"the name before byte {self.place} is not text")
        return raw[:-1].decode()
