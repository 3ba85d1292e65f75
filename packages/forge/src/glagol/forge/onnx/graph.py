"""Collects the nodes and weights of one graph and writes the model and its data file.

Values are referred to by name (a string). Weights are added as makers, called one at a time when
the data file is written, so building holds the source and the result but no third copy.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glagol.forge.onnx import protobuf
from glagol.forge.onnx.protobuf import Attribute, DataType, External

Array = NDArray[np.generic]

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's contributed operators."""

IR_VERSION = 8
OPSETS = {"": 17, MICROSOFT: 1}
ALIGNMENT = 64
"""Bytes; every tensor of the data file starts on a cache line."""

_INLINE_BYTES = 256
"""Smaller tensors live in the model file: shapes and axes must be there for shape inference."""

_KINDS = {
    np.dtype(np.float16): DataType.FLOAT16,
    np.dtype(np.float32): DataType.FLOAT,
    np.dtype(np.uint8): DataType.UINT8,
    np.dtype(np.int8): DataType.INT8,
    np.dtype(np.int32): DataType.INT32,
    np.dtype(np.int64): DataType.INT64,
}


def kind_of(dtype: np.dtype[np.generic] | type[np.generic]) -> DataType:
    """Return the ONNX element type of a numpy type. Raises KeyError if there is none."""
    return _KINDS[np.dtype(dtype)]


@dataclass(frozen=True, slots=True)
class _Weight:
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    make: Callable[[], Array] | None
    same: str = ""


class Graph:
    """One ONNX graph under construction.

    Args:
        name: name of the graph.
        location: file name of the external data, as the model refers to it.
    """

    def __init__(self, name: str, location: str) -> None:
        self._name = name
        self._location = location
        self._nodes: list[bytes] = []
        self._weights: dict[str, _Weight] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._names: set[str] = set()

    def input(self, name: str, kind: DataType, shape: Sequence[int | str]) -> str:
        """Declare a graph input and return its name."""
        self._inputs.append(protobuf.value_info(name, kind, shape))
        return self._claim(name)

    def output(self, name: str, kind: DataType, shape: Sequence[int | str]) -> None:
        """Declare that the value ``name`` leaves the graph."""
        self._outputs.append(protobuf.value_info(name, kind, shape))

    def op(
        self,
        kind: str,
        inputs: Sequence[str],
        name: str,
        *,
        domain: str = "",
        outputs: Sequence[str] | None = None,
        **attributes: Attribute,
    ) -> str:
        """Append a node and return the name of its first output, by default the node's own.

        Raises:
            ValueError: an output name is taken.
        """
        produced = [name] if outputs is None else list(outputs)
        for item in produced:
            if item:
                self._claim(item)
        self._nodes.append(
            protobuf.node(kind, inputs, produced, name=name, domain=domain, attributes=attributes)
        )
        return produced[0]

    def contrib(
        self,
        kind: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] | None = None,
        **attributes: Attribute,
    ) -> str:
        """As ``op``, for an operator of the ``com.microsoft`` domain."""
        return self.op(kind, inputs, name, domain=MICROSOFT, outputs=outputs, **attributes)

    def constant(self, name: str, value: Array) -> str:
        """Add a small constant [any shape] once; the same name again returns the first one."""
        if name not in self._weights:
            self.weight(name, value.dtype, value.shape, lambda: value)
        return name

    def integers(self, *values: int) -> str:
        """Return a constant int64 vector holding ``values``, shared by content."""
        name = "i64_" + "_".join(str(v).replace("-", "m") for v in values)
        return self.constant(name, np.array(values, dtype=np.int64))

    def weight(
        self,
        name: str,
        dtype: np.dtype[np.generic] | type[np.generic],
        shape: Sequence[int],
        make: Callable[[], Array],
    ) -> str:
        """Add a tensor that ``make`` computes when the file is written; return its name.

        Raises:
            ValueError: the name is taken.
        """
        self._weights[self._claim(name)] = _Weight(name, np.dtype(dtype), tuple(shape), make)
        return name

    def reshaped(self, name: str, shape: Sequence[int], of: str) -> str:
        """Add a tensor that has the bytes of the weight ``of``, once in the data file.

        Raises:
            KeyError: there is no such weight.
            ValueError: the name is taken, the sizes differ, or ``of`` is too small to lie there.
        """
        base = self._weights[of]
        count = math.prod(shape)
        if count != math.prod(base.shape) or count * base.dtype.itemsize < _INLINE_BYTES:
            raise ValueError(f"{name} of shape {tuple(shape)} cannot be {of} of shape {base.shape}")
        self._weights[self._claim(name)] = _Weight(name, base.dtype, tuple(shape), None, of)
        return name

    def finish(self, producer_version: str, metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return the bytes of the model file and of the data file.

        Raises:
            ValueError: a maker returned another type or shape than was announced.
        """
        data = io.BytesIO()
        places: dict[str, External] = {}
        initializers = [self._write(weight, data, places) for weight in self._weights.values()]
        encoded = protobuf.graph(
            self._name,
            nodes=self._nodes,
            initializers=initializers,
            inputs=self._inputs,
            outputs=self._outputs,
        )
        model = protobuf.model(
            encoded,
            ir_version=IR_VERSION,
            producer="glagol.forge",
            producer_version=producer_version,
            opsets=OPSETS,
            metadata=metadata,
        )
        return model, data.getvalue()

    def _write(self, weight: _Weight, data: io.BytesIO, places: dict[str, External]) -> bytes:
        kind = _KINDS[weight.dtype]
        if weight.make is None:
            return protobuf.tensor(weight.name, kind, weight.shape, places[weight.same])
        value = weight.make()
        if value.dtype != weight.dtype or value.shape != weight.shape:
            raise ValueError(
                f"{weight.name}: announced {weight.dtype} {weight.shape}, "
                f"made {value.dtype} {value.shape}"
            )
        little = np.ascontiguousarray(value, dtype=weight.dtype.newbyteorder("<"))
        if little.nbytes < _INLINE_BYTES:
            return protobuf.tensor(weight.name, kind, weight.shape, little.tobytes())
        data.write(b"\0" * (-data.tell() % ALIGNMENT))
        where = places[weight.name] = External(self._location, data.tell(), little.nbytes)
        data.write(little.data)
        return protobuf.tensor(weight.name, kind, weight.shape, where)

    def _claim(self, name: str) -> str:
        if name in self._names:
            raise ValueError(f"graph {self._name}: the name {name} is taken")
        self._names.add(name)
        return name
