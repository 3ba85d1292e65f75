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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.gigaam.architecture import Architecture
from glagol.forge.families.gigaam.rope import rotary_tables
from glagol.forge.families.gigaam.subsampling import Subsampling
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import FloatLinear, Linear, Matrix, narrowed
from glagol.forge.onnx.protobuf import DataType

Float32 = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]
Weights = Mapping[str, NDArray[np.generic]]

EPSILON = 1e-5
"""Of every layer norm."""

MASKED = 1e5
"""Taken from the score of a padded key (before the scale): its weight underflows to zero."""

MASKED_HALF = 3e4
"""The same where 65504 is the largest number."""

ALIGNED = 8
"""Half precision attention kernels (FlashAttention) take heads of a multiple of this."""


class Encoder:
    """Writes the encoder into a graph, part by part.

    Args:
        graph: where the nodes go.
        sizes: the architecture.
        weights: tensors under normalised names.
        linear: how products inside the layers are computed; the output layer is always float32.

    In half precision (for CUDA) heads are padded with zeros to a multiple of 8, values too: without
    a mask operand and with such heads ONNX Runtime takes its fused attention. Norms and softmax
    keep their sums in float32 inside the operators.
    """

    def __init__(self, graph: Graph, sizes: Architecture, weights: Weights, linear: Linear) -> None:
        self._graph = graph
        self._sizes = sizes
        self._weights = weights
        self._linear = linear
        self._exact = FloatLinear(graph)
        self._real = linear.real
        self._half = self._real is np.float16
        spare = 1 if not self._half else ALIGNED - sizes.head_size % ALIGNED
        self._head_size = sizes.head_size + spare

    def author(self) -> None:
        """Write the whole graph with its inputs and outputs."""
        graph, sizes = self._graph, self._sizes
        features = graph.input("features", DataType.FLOAT, ["B", "L", sizes.features])
        lengths = graph.input("lengths", DataType.INT64, ["B"])
        Subsampling(graph, sizes, self._weights, self._linear).author(features, lengths)
        self._share()
        x = "subsampled"
        x = self._norm(x, "encoder.layers.0.norm_feed_forward1", None)[0]
        residual = "subsampled"
        for number in range(sizes.layers):
            x, residual = self._layer(number, x, residual)
        if self._half:
            x = graph.op("Cast", [x], "last", to=DataType.FLOAT.value)
        if sizes.head == "ctc":
            logits = self._exact.apply((x,), self._pointwise("head.decoder_layers.0"))
            graph.op("LogSoftmax", [logits], "log_probs", axis=-1)
            graph.output("log_probs", DataType.FLOAT, ["B", "T", sizes.classes])
        else:
            joint = self._exact.apply((x,), self._pointwise("head.joint.enc"))
            graph.op("Identity", [joint], "encoded")
            graph.output("encoded", DataType.FLOAT, ["B", "T", sizes.joint])
        graph.output("encoded_lengths", DataType.INT64, ["B"])

    def _share(self) -> None:
        """Write what all layers read: the rotary tables and the mask of padded keys.

        Heads of query and key carry a column more than the checkpoint's: one in every query,
        zero in the key of a frame and -MASKED in the key of a pad. Their product takes the pads
        out of the softmax without a mask operand, which the fused attention kernel cannot take.
        """
        graph, sizes = self._graph, self._sizes
        shape = (sizes.max_frames, sizes.head_size // 2)
        for index, name in enumerate(("cosines", "sines")):
            graph.weight(name, self._real, shape, narrowed(self._table(index), self._real))
        columns = np.zeros((sizes.heads, self._head_size), self._real)
        columns[:, sizes.head_size] = -MASKED_HALF if self._half else -MASKED
        marks = graph.constant("mask.columns", columns.reshape(-1))
        ones = graph.constant("ones", np.ones((), self._real))
        pads = graph.op("Sub", ["keep", ones], "pads")
        pads = graph.op("Neg", [pads], "pads.positive")
        graph.op("Mul", [pads, marks], "key_mask")

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
        gain = graph.weight(f"{key}.weight", self._real, size, self._vector(f"{key}.weight"))
        bias = graph.weight(f"{key}.bias", self._real, size, self._vector(f"{key}.bias"))
        if residual is None:
            normed = graph.op("LayerNormalization", [x, gain, bias], key, axis=-1, epsilon=EPSILON)
            return normed, x
        total = graph.op("Add", [residual, x], f"{key}.sum")
        normed = graph.op("LayerNormalization", [total, gain, bias], key, axis=-1, epsilon=EPSILON)
        return normed, total

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
        query = linear.apply(fed, self._heads(f"{key}.linear_q", 1.0))
        # The bias of the keys adds the same to every score of a query: softmax does not see it.
        keys = linear.apply(fed, self._heads(f"{key}.linear_k", None))
        keys = graph.op("Add", [keys, "key_mask"], f"{key}.keys")
        value = linear.apply(linear.feed(x, f"{key}.in"), self._values(f"{key}.linear_v"))
        mixed = graph.contrib(
            "MultiHeadAttention",
            [query, keys, value],
            f"{key}.mixed",
            num_heads=sizes.heads,
            scale=sizes.head_size**-0.5,
        )
        return linear.apply(linear.feed(mixed, f"{key}.mixed"), self._mixer(f"{key}.linear_out"))

    def _convolution(self, x: str, key: str) -> str:
        """Write pointwise, gate, depthwise, norm, SiLU, pointwise; pads are zero before taps."""
        graph, linear, sizes = self._graph, self._linear, self._sizes
        width, taps = sizes.width, sizes.kernel
        fed = linear.feed(x, f"{key}.in")
        value = linear.apply(fed, self._gated(key, 0))
        gate = graph.op("Sigmoid", [linear.apply(fed, self._gated(key, 1))], f"{key}.gate")
        x = graph.op("Mul", [value, gate], f"{key}.gated")
        x = graph.op("Mul", [x, "keep"], f"{key}.kept")
        x = graph.op("Unsqueeze", [x, graph.integers(1)], f"{key}.image")
        x = graph.op("Transpose", [x], f"{key}.channels", perm=(0, 3, 1, 2))
        depthwise = f"{key}.depthwise_conv"
        shape = (width, 1, 1, taps)
        weight = graph.weight(
            f"{depthwise}.weight", self._real, shape, self._vector(f"{depthwise}.weight", shape)
        )
        bias = graph.weight(
            f"{depthwise}.bias", self._real, (width,), self._vector(f"{depthwise}.bias")
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

    def _vector(self, key: str, shape: tuple[int, ...] | None = None) -> Callable[[], Reals]:
        def value() -> Float32:
            found = self._float(key)
            return found if shape is None else found.reshape(shape)

        return narrowed(value, self._real)

    def _dense(self, key: str, inner: int, outer: int, *, scale: float = 1.0) -> Matrix:
        factor = np.float32(scale)
        return Matrix(
            key,
            (inner, outer),
            lambda: self._float(f"{key}.weight").T * factor,
            lambda: self._float(f"{key}.bias") * factor,
        )

    def _heads(self, key: str, last: float | None) -> Matrix:
        """Return a projection whose heads are wider: zero weights, bias ``last`` and zeros.

        With ``last`` None there is no bias at all.
        """
        sizes = self._sizes
        split, wide = (sizes.heads, sizes.head_size), sizes.heads * self._head_size
        spare = self._head_size - sizes.head_size

        def weight() -> Float32:
            columns = self._float(f"{key}.weight").T.reshape(sizes.width, *split)
            return np.pad(columns, ((0, 0), (0, 0), (0, spare))).reshape(sizes.width, wide)

        def bias() -> Float32:
            values = self._float(f"{key}.bias").reshape(split)
            ends = np.zeros((sizes.heads, spare), np.float32)
            ends[:, 0] = last
            return np.concatenate([values, ends], axis=1).reshape(wide)

        return Matrix(key, (sizes.width, wide), weight, None if last is None else bias)

    def _values(self, key: str) -> Matrix:
        """Return the projection of the values, its heads as wide as half precision needs them."""
        width = self._sizes.width
        return self._heads(key, 0.0) if self._half else self._dense(key, width, width)

    def _mixer(self, key: str) -> Matrix:
        """Return the projection after attention; what the values were padded with is not read."""
        sizes = self._sizes
        width = sizes.width
        if not self._half:
            return self._dense(key, width, width)

        def weight() -> Float32:
            rows = self._float(f"{key}.weight").T.reshape(sizes.heads, sizes.head_size, width)
            wide = np.pad(rows, ((0, 0), (0, self._head_size - sizes.head_size), (0, 0)))
            return wide.reshape(-1, width)

        shape = (sizes.heads * self._head_size, width)
        return Matrix(key, shape, weight, lambda: self._float(f"{key}.bias"))

    def _pointwise(self, key: str) -> Matrix:
        """Return a convolution of one tap, or a linear layer, as a matrix."""
        outer, inner = self._weights[f"{key}.weight"].shape[:2]
        return Matrix(
            key,
            (inner, outer),
            lambda: self._float(f"{key}.weight").reshape(outer, inner).T,
            lambda: self._float(f"{key}.bias"),
        )

    def _gated(self, key: str, part: int) -> Matrix:
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
