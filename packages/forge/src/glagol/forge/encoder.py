"""The authored Conformer graph: features in, CTC log-probabilities or joint inputs out.

Architecture: Conformer (Gulati et al. 2020, arXiv 2005.08100) as GigaAM-v3 arranges it: two
strided convolutions, layers of half feed-forward, rotary self-attention, convolution, half
feed-forward, norm. The graph is arranged for ONNX Runtime on a CPU: pointwise convolutions are
matrix products, the rotated input is computed once and shared by query and key, a residual sum
and the norm after it are one operator, padding is one multiplication.

Axes: B clips, L mel frames, T encoder frames, D width, H heads, C classes, J joint width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from glagol.forge.architecture import Architecture
from glagol.forge.graph import Graph
from glagol.forge.linear import FloatLinear, Linear, Matrix
from glagol.forge.rope import rotary_tables
from glagol.forge.wire import DataType

Float32 = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.generic]]

EPSILON = 1e-5
"""Of every layer norm."""


class Encoder:
    """Writes the encoder into a graph, part by part.

    Args:
        graph: where the nodes go.
        sizes: the architecture.
        weights: tensors under normalised names.
        linear: how products inside the layers are computed; the output layer is always float32.
    """

    def __init__(self, graph: Graph, sizes: Architecture, weights: Weights, linear: Linear) -> None:
        self._graph = graph
        self._sizes = sizes
        self._weights = weights
        self._linear = linear
        self._exact = FloatLinear(graph)

    def author(self) -> None:
        """Write the whole graph with its inputs and outputs."""
        graph, sizes = self._graph, self._sizes
        features = graph.input("features", DataType.FLOAT, ["B", "L", sizes.features])
        lengths = graph.input("lengths", DataType.INT64, ["B"])
        x = self._subsample(features, lengths)
        self._position()
        x = self._norm(x, "encoder.layers.0.norm_feed_forward1", None)[0]
        residual = "subsampled"
        for number in range(sizes.layers):
            x, residual = self._layer(number, x, residual)
        if sizes.head == "ctc":
            logits = self._exact.apply((x,), self._pointwise("head.decoder_layers.0"))
            graph.op("LogSoftmax", [logits], "log_probs", axis=-1)
            graph.output("log_probs", DataType.FLOAT, ["B", "T", sizes.classes])
        else:
            joint = self._exact.apply((x,), self._pointwise("head.joint.enc"))
            graph.op("Identity", [joint], "encoded")
            graph.output("encoded", DataType.FLOAT, ["B", "T", sizes.joint])
        graph.output("encoded_lengths", DataType.INT64, ["B"])

    # Subsampling

    def _subsample(self, features: str, lengths: str) -> str:
        """Write both strided convolutions; values subsampled, encoded_lengths, keep."""
        graph, sizes = self._graph, self._sizes
        zero = graph.constant("zero", np.zeros((), np.float32))
        one = graph.constant("one", np.ones((), np.int64))
        two = graph.constant("two", np.full((), 2, np.int64))
        shape = graph.op("Shape", [features], "features.shape")
        index = graph.constant("axis_1", np.ones((), np.int64))
        frames = graph.op("Gather", [shape, index], "frames_0", axis=0)
        keep = self._valid(frames, lengths, "keep_0")
        # A choice, not a product: what the caller left in the padding may be NaN.
        x = graph.op("Where", [keep, features, zero], "features.kept")
        for stage, width in ((1, sizes.features), (2, sizes.width)):
            frames = graph.op("Add", [frames, one], f"frames_{stage}.up")
            frames = graph.op("Div", [frames, two], f"frames_{stage}")
            lengths = graph.op("Add", [lengths, one], f"lengths_{stage}.up")
            name = "encoded_lengths" if stage == 2 else "lengths_1"
            lengths = graph.op("Div", [lengths, two], name)
            x = self._strided(x, frames, width, stage)
            keep = self._valid(frames, lengths, f"keep_{stage}.bool")
            keep = graph.op("Cast", [keep], f"keep_{stage}", to=DataType.FLOAT.value)
            x = graph.op("Mul", [x, keep], "subsampled" if stage == 2 else f"kept_{stage}")
        graph.op("Identity", [frames], "T")
        return x

    def _valid(self, frames: str, lengths: str, name: str) -> str:
        """Return bool [B, frames, 1]: true where a frame belongs to its clip."""
        graph = self._graph
        zero = graph.constant("zero_i64", np.zeros((), np.int64))
        one = graph.constant("one", np.ones((), np.int64))
        steps = graph.op("Range", [zero, frames, one], f"{name}.range")
        steps = graph.op("Unsqueeze", [steps, graph.integers(0, 2)], f"{name}.steps")
        ends = graph.op("Unsqueeze", [lengths, graph.integers(1, 2)], f"{name}.ends")
        return graph.op("Less", [steps, ends], name)

    def _strided(self, x: str, frames: str, width: int, stage: int) -> str:
        """Write one convolution of stride 2 and its ReLU as a product over windows.

        Two frames side by side are one row; a window of k taps is k / 2 rows, the last one half.
        """
        graph, taps = self._graph, self._sizes.subsampling_kernel
        pad, rows = taps // 2, (taps + 1) // 2
        name = f"subsampling.{stage}"
        # Enough zeros behind the end for an even number of frames whatever the parity of L.
        pads = graph.integers(0, pad, 0, 0, 2 * rows - pad, 0)
        padded = graph.op("Pad", [x, pads], f"{name}.padded")
        count = graph.op("Add", [frames, self._scalar(rows - 1)], f"{name}.rows")
        count = graph.op("Unsqueeze", [count, graph.integers(0)], f"{name}.rows.list")
        double = graph.op("Mul", [count, self._scalar(2)], f"{name}.ends")
        even = graph.op(
            "Slice", [padded, graph.integers(0), double, graph.integers(1)], f"{name}.even"
        )
        shape = graph.op(
            "Concat",
            [graph.integers(0), count, graph.integers(2 * width)],
            f"{name}.shape",
            axis=0,
        )
        paired = graph.op("Reshape", [even, shape], f"{name}.paired")
        parts = []
        for row in range(rows):
            taken = 1 if 2 * row + 1 == taps else 2
            ends = graph.op(
                "Concat",
                [
                    graph.op(
                        "Unsqueeze",
                        [
                            graph.op("Add", [frames, self._scalar(row)], f"{name}.end.{row}"),
                            graph.integers(0),
                        ],
                        f"{name}.end.{row}.list",
                    ),
                    graph.integers(taken * width),
                ],
                f"{name}.ends.{row}",
                axis=0,
            )
            parts.append(
                graph.op(
                    "Slice",
                    [paired, graph.integers(row, 0), ends, graph.integers(1, 2)],
                    f"{name}.part.{row}",
                )
            )
        window = graph.op("Concat", parts, f"{name}.window", axis=2)
        key = f"encoder.pre_encode.conv.{2 * (stage - 1)}"
        matrix = Matrix(
            key,
            (taps * width, self._sizes.width),
            lambda: self._float(f"{key}.weight").transpose(2, 1, 0).reshape(taps * width, -1),
            lambda: self._float(f"{key}.bias"),
        )
        return graph.op("Relu", [self._exact.apply((window,), matrix)], f"{name}.relu")

    def _scalar(self, value: int) -> str:
        return self._graph.constant(f"scalar_{value}", np.full((), value, np.int64))

    def _position(self) -> None:
        """Write what all layers share: rotary tables, key lengths, shapes."""
        graph, sizes = self._graph, self._sizes
        shape = (sizes.max_frames, sizes.head_size // 2)
        for index, name in enumerate(("cosines", "sines")):
            graph.weight(name, np.float32, shape, self._table(index))
        graph.op("Cast", ["encoded_lengths"], "key_lengths", to=DataType.INT32.value)

    def _table(self, index: int) -> Callable[[], Float32]:
        sizes = self._sizes
        return lambda: rotary_tables(sizes.max_frames, sizes.head_size, sizes.rope_base)[index]

    # Layers

    def _layer(self, number: int, x: str, residual: str) -> tuple[str, str]:
        """Write layer ``number``; x is the normed input, the result is the next layer's pair."""
        sizes = self._sizes
        prefix = f"encoder.layers.{number}"
        x = self._feed_forward(x, f"{prefix}.feed_forward1")
        x, residual = self._norm(x, f"{prefix}.norm_self_att", residual)
        x = self._attention(x, f"{prefix}.self_attn")
        x, residual = self._norm(x, f"{prefix}.norm_conv", residual)
        x = self._convolution(x, f"{prefix}.conv")
        x, residual = self._norm(x, f"{prefix}.norm_feed_forward2", residual)
        x = self._feed_forward(x, f"{prefix}.feed_forward2")
        residual, _ = self._norm(x, f"{prefix}.norm_out", residual)
        if number + 1 == sizes.layers:
            return residual, residual
        following = f"encoder.layers.{number + 1}.norm_feed_forward1"
        return self._norm(residual, following, None)[0], residual

    def _norm(self, x: str, key: str, residual: str | None) -> tuple[str, str]:
        """Write a layer norm of x, or of residual + x; return the normed value and the sum."""
        graph, size = self._graph, (self._sizes.width,)
        gain = graph.weight(f"{key}.weight", np.float32, size, self._vector(f"{key}.weight"))
        bias = graph.weight(f"{key}.bias", np.float32, size, self._vector(f"{key}.bias"))
        if residual is None:
            normed = graph.op("LayerNormalization", [x, gain, bias], key, axis=-1, epsilon=EPSILON)
            return normed, x
        total = f"{key}.sum"
        graph.contrib(
            "SkipLayerNormalization",
            [x, residual, gain, bias],
            key,
            outputs=[key, "", "", total],
            epsilon=EPSILON,
        )
        return key, total

    def _feed_forward(self, x: str, key: str) -> str:
        """Write linear, SiLU, linear; the module's factor one half is in the last weights."""
        graph, linear, sizes = self._graph, self._linear, self._sizes
        inner = self._dense(f"{key}.linear1", sizes.width, sizes.hidden)
        outer = self._dense(f"{key}.linear2", sizes.hidden, sizes.width, scale=0.5)
        x = linear.apply(linear.feed(x, f"{key}.in"), inner)
        x = graph.contrib("QuickGelu", [x], f"{key}.silu", alpha=1.0)
        return linear.apply(linear.feed(x, f"{key}.mid"), outer)

    def _attention(self, x: str, key: str) -> str:
        """Write rotary attention: positions turn the input of query and key, not the value."""
        graph, linear, sizes = self._graph, self._linear, self._sizes
        start = graph.integers(0)
        turned = graph.contrib(
            "RotaryEmbedding",
            [x, start, "cosines", "sines"],
            f"{key}.turned",
            num_heads=sizes.heads,
        )
        fed = linear.feed(turned, f"{key}.turned")
        width = sizes.width
        query = linear.apply(fed, self._dense(f"{key}.linear_q", width, width))
        keys = linear.apply(fed, self._dense(f"{key}.linear_k", width, width))
        value = linear.apply(
            linear.feed(x, f"{key}.in"), self._dense(f"{key}.linear_v", width, width)
        )
        mixed = graph.contrib(
            "MultiHeadAttention",
            [query, keys, value, "", "key_lengths"],
            f"{key}.mixed",
            num_heads=sizes.heads,
        )
        return linear.apply(
            linear.feed(mixed, f"{key}.mixed"), self._dense(f"{key}.linear_out", width, width)
        )

    def _convolution(self, x: str, key: str) -> str:
        """Write pointwise, gate, depthwise, norm, SiLU, pointwise; pads are zero before taps."""
        graph, linear, sizes = self._graph, self._linear, self._sizes
        width, taps = sizes.width, sizes.kernel
        fed = linear.feed(x, f"{key}.in")
        value = linear.apply(fed, self._half(key, 0))
        gate = graph.op("Sigmoid", [linear.apply(fed, self._half(key, 1))], f"{key}.gate")
        x = graph.op("Mul", [value, gate], f"{key}.gated")
        x = graph.op("Mul", [x, "keep_2"], f"{key}.kept")
        x = graph.op("Unsqueeze", [x, graph.integers(1)], f"{key}.image")
        x = graph.op("Transpose", [x], f"{key}.channels", perm=(0, 3, 1, 2))
        depthwise = f"{key}.depthwise_conv"
        weight = graph.weight(
            f"{depthwise}.weight",
            np.float32,
            (width, 1, 1, taps),
            lambda: self._float(f"{depthwise}.weight").reshape(width, 1, 1, taps),
        )
        bias = graph.weight(
            f"{depthwise}.bias", np.float32, (width,), self._vector(f"{depthwise}.bias")
        )
        x = graph.op(
            "Conv",
            [x, weight, bias],
            depthwise,
            group=width,
            kernel_shape=(1, taps),
            pads=(0, taps // 2, 0, taps // 2),
        )
        x = graph.op("Transpose", [x], f"{key}.frames", perm=(0, 2, 3, 1))
        x = graph.op("Squeeze", [x, graph.integers(1)], f"{key}.line")
        x = self._norm(x, f"{key}.batch_norm", None)[0]
        x = graph.contrib("QuickGelu", [x], f"{key}.silu", alpha=1.0)
        return linear.apply(linear.feed(x, f"{key}.mid"), self._pointwise(f"{key}.pointwise_conv2"))

    # Weights

    def _float(self, key: str) -> Float32:
        return np.asarray(self._weights[key], dtype=np.float32)

    def _vector(self, key: str) -> Callable[[], Float32]:
        return lambda: self._float(key)

    def _dense(self, key: str, inner: int, outer: int, *, scale: float = 1.0) -> Matrix:
        factor = np.float32(scale)
        return Matrix(
            key,
            (inner, outer),
            lambda: self._float(f"{key}.weight").T * factor,
            lambda: self._float(f"{key}.bias") * factor,
        )

    def _pointwise(self, key: str) -> Matrix:
        """Return a convolution of one tap, or a linear layer, as a matrix."""
        outer, inner = self._weights[f"{key}.weight"].shape[:2]
        return Matrix(
            key,
            (inner, outer),
            lambda: self._float(f"{key}.weight").reshape(outer, inner).T,
            lambda: self._float(f"{key}.bias"),
        )

    def _half(self, key: str, part: int) -> Matrix:
        """Return one half (0 value, 1 gate) of the gated pointwise convolution."""
        width = self._sizes.width
        source = f"{key}.pointwise_conv1"
        rows = slice(part * width, (part + 1) * width)
        return Matrix(
            f"{source}.{('value', 'gate')[part]}",
            (width, width),
            lambda: self._float(f"{source}.weight")[rows].reshape(width, width).T,
            lambda: self._float(f"{source}.bias")[rows],
        )
