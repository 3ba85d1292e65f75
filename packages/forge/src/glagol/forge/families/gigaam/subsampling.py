"""The two strided convolutions in front of the encoder, as matrix products over windows.

Two frames side by side make one row, so a step of stride 2 is one row and a window of k taps is
k / 2 rows, the last one half. Frames past a clip's end are zeroed before and after each
convolution: a clip sees the same zeros behind its end alone and in a batch.

Axes: B clips, L mel frames, T encoder frames, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.gigaam.architecture import Architecture
from glagol.forge.onnx.graph import Graph, kind_of
from glagol.forge.onnx.linear import FloatLinear, Linear, Matrix
from glagol.forge.onnx.protobuf import DataType

Float32 = NDArray[np.float32]


class Subsampling:
    """Writes the subsampling into a graph.

    Args:
        graph: where the nodes go.
        sizes: the architecture.
        weights: tensors under normalised names.
        linear: how the second convolution is computed, and the type of what comes out; the first
            one, which reads log-mel energies of a wide range and costs little, is always float32.
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Architecture,
        weights: Mapping[str, NDArray[np.generic]],
        linear: Linear,
    ) -> None:
        self._graph = graph
        self._sizes = sizes
        self._weights = weights
        self._linears: tuple[Linear, Linear] = (FloatLinear(graph), linear)

    def author(self, features: str, lengths: str) -> None:
        """Write the nodes from features [B, L, F] and lengths [B].

        They define ``subsampled`` [B, T, D] and ``keep`` [B, T, 1] (one on frames, zero on pads),
        both of the linear's type, and ``encoded_lengths`` int64 [B]; T is L / 4, rounded up.
        """
        graph, sizes = self._graph, self._sizes
        zero = graph.constant("zero", np.zeros((), np.float32))
        shape = graph.op("Shape", [features], "features.shape")
        frames = graph.op("Gather", [shape, self._scalar(1)], "frames", axis=0)
        valid = self._valid(frames, lengths, "features.valid")
        # A choice, not a product: what the caller left in the padding may be NaN.
        x = graph.op("Where", [valid, features, zero], "features.kept")
        widths = (sizes.features, sizes.width)
        for stage, ends in enumerate(("subsampling.lengths", "encoded_lengths")):
            frames = self._halved(frames, f"subsampling.{stage}.frames")
            lengths = self._halved(lengths, ends)
            kind = kind_of(self._linears[stage].real)
            if stage and kind != DataType.FLOAT:
                x = graph.op("Cast", [x], "subsampling.0.narrow", to=kind.value)
            x = self._convolve(x, frames, widths[stage], stage)
            valid = self._valid(frames, lengths, f"subsampling.{stage}.valid")
            kept = "keep" if stage else "subsampling.keep"
            graph.op("Cast", [valid], kept, to=kind.value)
            x = graph.op("Mul", [x, kept], "subsampled" if stage else "subsampling.0.kept")

    def _scalar(self, value: int) -> str:
        return self._graph.constant(f"scalar_{value}", np.full((), value, np.int64))

    def _halved(self, count: str, name: str) -> str:
        """Return half of ``count``, rounded up: the length after a stride of 2."""
        up = self._graph.op("Add", [count, self._scalar(1)], f"{name}.up")
        return self._graph.op("Div", [up, self._scalar(2)], name)

    def _valid(self, frames: str, lengths: str, name: str) -> str:
        """Return bool [B, frames, 1]: true where a frame belongs to its clip."""
        graph = self._graph
        steps = graph.op("Range", [self._scalar(0), frames, self._scalar(1)], f"{name}.range")
        steps = graph.op("Unsqueeze", [steps, graph.integers(0, 2)], f"{name}.steps")
        ends = graph.op("Unsqueeze", [lengths, graph.integers(1, 2)], f"{name}.ends")
        return graph.op("Less", [steps, ends], name)

    def _convolve(self, x: str, frames: str, width: int, stage: int) -> str:
        """Write one convolution of stride 2 and its ReLU: [B, n, width] to [B, frames, D]."""
        graph, taps, linear = self._graph, self._sizes.subsampling_kernel, self._linears[stage]
        name, key = f"subsampling.{stage}", f"encoder.pre_encode.conv.{2 * stage}"
        rows = (taps + 1) // 2
        # Quantised before the windows repeat every frame; the zeros stay exact zeros.
        paired, *rest = linear.feed(self._pairs(x, frames, width, name), f"{name}.in")
        parts = [
            self._rows(paired, frames, row, width * min(2, taps - 2 * row), name)
            for row in range(rows)
        ]
        window = graph.op("Concat", parts, f"{name}.window", axis=2)

        def weight() -> Float32:
            value = np.asarray(self._weights[f"{key}.weight"], dtype=np.float32)
            return value.transpose(2, 1, 0).reshape(taps * width, self._sizes.width)

        def bias() -> Float32:
            return np.asarray(self._weights[f"{key}.bias"], dtype=np.float32)

        matrix = Matrix(key, (taps * width, self._sizes.width), weight, bias)
        return graph.op("Relu", [linear.apply((window, *rest), matrix)], f"{name}.relu")

    def _pairs(self, x: str, frames: str, width: int, name: str) -> str:
        """Pad with zeros and lay two frames in a row: [B, frames + rows - 1, 2 width]."""
        graph, taps = self._graph, self._sizes.subsampling_kernel
        before, rows = taps // 2, (taps + 1) // 2
        # Enough behind the end for whole rows, whatever the parity of the input.
        pads = graph.integers(0, before, 0, 0, 2 * rows - 1 - before, 0)
        padded = graph.op("Pad", [x, pads], f"{name}.padded")
        count = graph.op("Add", [frames, self._scalar(rows - 1)], f"{name}.rows")
        count = graph.op("Unsqueeze", [count, graph.integers(0)], f"{name}.rows.list")
        ends = graph.op("Mul", [count, graph.integers(2)], f"{name}.even.end")
        starts, axes = graph.integers(0), graph.integers(1)
        even = graph.op("Slice", [padded, starts, ends, axes], f"{name}.even")
        sizes = [starts, count, graph.integers(2 * width)]
        shape = graph.op("Concat", sizes, f"{name}.shape", axis=0)
        return graph.op("Reshape", [even, shape], f"{name}.pairs")

    def _rows(self, pairs: str, frames: str, first: int, width: int, name: str) -> str:
        """Return ``frames`` rows of ``pairs`` from row ``first``, their first ``width`` values."""
        graph = self._graph
        end = graph.op("Add", [frames, self._scalar(first)], f"{name}.end.{first}")
        end = graph.op("Unsqueeze", [end, graph.integers(0)], f"{name}.end.{first}.list")
        limits = [end, graph.integers(width)]
        ends = graph.op("Concat", limits, f"{name}.ends.{first}", axis=0)
        inputs = [pairs, graph.integers(first, 0), ends, graph.integers(1, 2)]
        return graph.op("Slice", inputs, f"{name}.part.{first}")
