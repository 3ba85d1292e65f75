"""Add matrix products to a graph in several precisions, behind one interface.

A product takes two calls: ``feed`` once for each input, and ``apply`` once for each weight matrix.
So several products of one input quantise it only once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.quantize import block_size, quantise, quantise_blocks

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix [K, N] and its bias [N], or None for no bias; both are computed on demand."""

    name: str
    shape: tuple[int, int]
    weight: Callable[[], Float32]
    bias: Callable[[], Float32] | None


class Linear(Protocol):
    """Adds the nodes of matrix products to a graph, in one precision.

    Attributes:
        real: floating-point type of the values between the products.
    """

    real: type[np.floating[Any]]

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Prepare the value ``x`` [..., K] as input of products; return the names for ``apply``."""
        ...

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of ``x @ weight + bias``."""
        ...


def narrowed(
    make: Callable[[], Float32], real: type[np.floating[Any]]
) -> Callable[[], NDArray[np.floating[Any]]]:
    """Return a function that makes the values [...] of ``make`` in the type ``real``.

    Values are rounded to nearest, ties to even.

    Raises:
        ValueError: (by the returned function) a value is not finite, or outside of the range of
            ``real``.
    """

    def narrow() -> NDArray[np.floating[Any]]:
        value = make()
        if real is np.float32:
            return value
        with np.errstate(over="ignore"):
            small = value.astype(real)
        if not np.isfinite(small).all():
            raise ValueError(f"weights are not finite in {np.dtype(real).name}")
        return small

    return narrow


class FloatLinear:
    """Products in single or half precision, by MatMul and Add.

    Attributes:
        real: type of values, weights and biases; the products are summed in float32 for both types.
    """

    def __init__(self, graph: Graph, real: type[np.floating[Any]] = np.float32) -> None:
        self._graph = graph
        self.real = real

    def feed(self, x: str, name: str) -> tuple[str, ...]:  # noqa: ARG002 (protocol)
        """Return ``x`` itself."""
        return (x,)

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of ``x @ weight + bias``."""
        graph, name = self._graph, matrix.name
        weight = graph.weight(
            f"{name}.weight", self.real, matrix.shape, narrowed(matrix.weight, self.real)
        )
        if matrix.bias is None:
            return graph.op("MatMul", [fed[0], weight], name)
        bias = graph.weight(
            f"{name}.bias", self.real, matrix.shape[1:], narrowed(matrix.bias, self.real)
        )
        product = graph.op("MatMul", [fed[0], weight], f"{name}.product")
        return graph.op("Add", [product, bias], name)


class Int8Linear:
    """Products of u8 activations, with one scale per call, and s8 weights, with one per column.

    Attributes:
        real: type of the values between the products, float32.
    """

    real: type[np.floating[Any]] = np.float32

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Quantise ``x``; return the names of its bytes, scale and zero point."""
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


class BlockLinear:
    """Products of activations that are quantised row by row, and bytes with one scale per block.

    A block is a part of a column. A large row does not reduce the precision of other rows, which
    matters when a few rows are many times larger than the rest. With many rows it is slower than
    ``Int8Linear``.

    Attributes:
        real: type of the values between the products, float32.
    """

    real: type[np.floating[Any]] = np.float32

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def feed(self, x: str, name: str) -> tuple[str, ...]:  # noqa: ARG002 (protocol)
        """Return ``x`` itself: the operator quantises it."""
        return (x,)

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Return the value [..., N] of the dequantised product plus bias."""
        return self.multiply(fed, matrix, self.store(matrix))

    def store(self, matrix: Matrix) -> tuple[str, str]:
        """Add the bytes [N, K / block, block] and the scales [N, K / block]; return their names."""
        graph, name = self._graph, matrix.name
        inner, outer = matrix.shape
        size = block_size(inner)
        blocks = inner // size
        values = graph.weight(
            f"{name}.weight",
            np.uint8,
            (outer, blocks, size),
            lambda: quantise_blocks(matrix.weight().T, size).values,
        )
        scales = graph.weight(
            f"{name}.steps",
            np.float32,
            (outer, blocks),
            lambda: quantise_blocks(matrix.weight().T, size).scales,
        )
        return values, scales

    def multiply(self, fed: tuple[str, ...], matrix: Matrix, stored: tuple[str, str]) -> str:
        """As ``apply``, with the weights that ``store`` added before."""
        graph, name = self._graph, matrix.name
        inner, outer = matrix.shape
        inputs = [fed[0], *stored]
        if matrix.bias is not None:
            bias = graph.weight(f"{name}.bias", np.float32, (outer,), matrix.bias)
            inputs += ["", "", bias]
        return graph.contrib(
            "MatMulNBits",
            inputs,
            name,
            K=inner,
            N=outer,
            bits=8,
            block_size=block_size(inner),
            accuracy_level=4,  # products of bytes, summed as integers
        )
