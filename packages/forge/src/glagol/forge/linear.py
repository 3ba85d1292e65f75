"""Matrix products of a graph in two precisions, behind one interface.

A product is written as ``feed`` (once per input) and ``apply`` (once per weight): several weights
that read one input share its quantisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glagol.forge.graph import Graph
from glagol.forge.quantize import quantise

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix [K, N] with its bias [N], made on demand; None is no bias."""

    name: str
    shape: tuple[int, int]
    weight: Callable[[], Float32]
    bias: Callable[[], Float32] | None


class Linear(Protocol):
    """How a graph multiplies by weights."""

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Prepare the value ``x`` [..., K] as input of products."""
        ...

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of ``x @ weight + bias``."""
        ...


class FloatLinear:
    """Single precision: MatMul and Add."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def feed(self, x: str, name: str) -> tuple[str, ...]:  # noqa: ARG002 (protocol)
        """Return ``x`` itself."""
        return (x,)

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of ``x @ weight + bias``."""
        graph, name = self._graph, matrix.name
        weight = graph.weight(f"{name}.weight", np.float32, matrix.shape, matrix.weight)
        if matrix.bias is None:
            return graph.op("MatMul", [fed[0], weight], name)
        bias = graph.weight(f"{name}.bias", np.float32, matrix.shape[1:], matrix.bias)
        product = graph.op("MatMul", [fed[0], weight], f"{name}.product")
        return graph.op("Add", [product, bias], name)


class Int8Linear:
    """Dynamic u8 activations (one scale per call) times s8 weights (one scale per column)."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Quantise ``x``: return its bytes, scale and zero point."""
        names = (f"{name}.bytes", f"{name}.scale", f"{name}.zero")
        self._graph.op("DynamicQuantizeLinear", [x], f"{name}.quantise", outputs=names)
        return names

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of the dequantised product plus bias."""
        graph, name = self._graph, matrix.name
        columns = matrix.shape[1:]
        values = graph.weight(
            f"{name}.weight", np.int8, matrix.shape, lambda: quantise(matrix.weight()).values
        )
        scales = graph.weight(
            f"{name}.steps", np.float32, columns, lambda: quantise(matrix.weight()).scales
        )
        zeros = graph.constant(f"zeros_{columns[0]}", np.zeros(columns, np.int8))
        quantised, scale, zero = fed
        inputs = [quantised, values, scale, scales, zero, zeros]
        if matrix.bias is not None:
            inputs.append(graph.weight(f"{name}.bias", np.float32, columns, matrix.bias))
        return graph.contrib("MatMulIntegerToFloat", inputs, name)
