"""CAM++ as a graph: the voice of one piece of speech as 192 numbers.

Context-aware masking over densely connected TDNN layers (Wang et al. 2023, arXiv 2303.00332).
Source: 3D-Speaker `speakerlab/models/campplus/{DTDNN,layers}.py`, whose last norm has neither gain
nor bias and **no** activation behind it: a ReLU there, as some copies have, raises all cosines and
melts the speakers of a recording into one.

Input `features` float32 [B, T, 80], Kaldi's log-mel energies without their mean over time; output
`embedding` float32 [B, 192], not normalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.protobuf import Attribute, DataType

Array = NDArray[np.generic]
Float32 = NDArray[np.float32]

MELS: Final = 80
SIZE: Final = 192
HEAD_CHANNELS: Final = 320
"""Channels times frequencies behind the two-dimensional head."""

SEGMENT: Final = 100
"""Frames of one local mean."""

BLOCKS: Final = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each dense block."""

EPSILON: Final = 1e-5


def author(graph: Graph, weights: Mapping[str, Array]) -> None:
    """Write the whole graph.

    Args:
        graph: empty.
        weights: tensors under the names of the checkpoint.

    Raises:
        CheckpointError: a tensor is absent.
    """
    make = _Writer(graph, weights)
    x = graph.input("features", DataType.FLOAT, ["B", "T", MELS])
    x = graph.op("Transpose", [x], "mels_first", perm=(0, 2, 1))
    x = _head(make, graph.op("Unsqueeze", [x, graph.integers(1)], "image"))
    x = make.conv(x, "xvector.tdnn.linear", strides=(2,), pads=(2, 2))
    x = make.active(x, "xvector.tdnn.nonlinear.batchnorm")
    means = _Means(graph, x)
    for block, (layers, dilation) in enumerate(BLOCKS, start=1):
        for layer in range(1, layers + 1):
            x = _dense(make, means, x, f"xvector.block{block}.tdnnd{layer}", dilation)
        x = make.active(x, f"xvector.transit{block}.nonlinear.batchnorm")
        x = make.conv(x, f"xvector.transit{block}.linear")
    x = make.active(x, "xvector.out_nonlinear.batchnorm")
    x = make.conv(_statistics(graph, x), "xvector.dense.linear")
    x = make.norm(x, "xvector.dense.nonlinear.batchnorm")
    graph.op("Squeeze", [x, graph.integers(2)], "embedding")
    graph.output("embedding", DataType.FLOAT, ["B", SIZE])


def _head(make: _Writer, x: str) -> str:
    """Residual layers over time and frequency: [B, 1, 80, T] to [B, 320, T]."""
    square = (1, 1, 1, 1)
    x = make.active(make.conv(x, "head.conv1", pads=square), "head.bn1")
    for key, stride in (
        (f"head.layer{layer}.{block}", 1 if block else 2) for layer in (1, 2) for block in (0, 1)
    ):
        y = make.conv(x, f"{key}.conv1", strides=(stride, 1), pads=square)
        y = make.conv(make.active(y, f"{key}.bn1"), f"{key}.conv2", pads=square)
        y = make.norm(y, f"{key}.bn2")
        if f"{key}.shortcut.0.weight" in make.weights:
            x = make.conv(x, f"{key}.shortcut.0", strides=(stride, 1))
            x = make.norm(x, f"{key}.shortcut.1")
        x = make.graph.op("Relu", [make.graph.op("Add", [x, y], f"{key}.sum")], key)
    x = make.conv(x, "head.conv2", strides=(2, 1), pads=square)
    x = make.active(x, "head.bn2")
    return make.graph.op("Reshape", [x, make.graph.integers(0, HEAD_CHANNELS, -1)], "head")


def _dense(make: _Writer, means: _Means, x: str, key: str, dilation: int) -> str:
    """One dense layer: x [B, C, T] to [B, C + 32, T]."""
    graph, cam = make.graph, f"{key}.cam_layer"
    y = make.conv(make.active(x, f"{key}.nonlinear1.batchnorm"), f"{key}.linear1")
    y = make.active(y, f"{key}.nonlinear2.batchnorm")
    local = make.conv(y, f"{cam}.linear_local", dilations=(dilation,), pads=(dilation, dilation))
    context = make.conv(means.of(y, key), f"{cam}.linear1")
    context = make.conv(graph.op("Relu", [context], f"{cam}.relu"), f"{cam}.linear2")
    mask = graph.op("Sigmoid", [context], f"{cam}.mask")
    return graph.op("Concat", [x, graph.op("Mul", [local, mask], cam)], key, axis=1)


def _statistics(graph: Graph, x: str) -> str:
    """Mean and unbiased deviation of x [B, C, T] over time: [B, 2 C, 1]."""
    time = graph.integers(2)
    mean = graph.op("ReduceMean", [x], "mean", axes=(2,), keepdims=1)
    rest = graph.op("Sub", [x, mean], "rest")
    squares = graph.op("Mul", [rest, rest], "squares")
    total = graph.op("ReduceSum", [squares, time], "squares.sum", keepdims=1)
    count = graph.op("Shape", [x], "count", start=2, end=3)
    others = graph.op("Sub", [count, graph.integers(1)], "others")
    others = graph.op("Cast", [others], "others.real", to=DataType.FLOAT.value)
    deviation = graph.op("Sqrt", [graph.op("Div", [total, others], "variance")], "deviation")
    return graph.op("Concat", [mean, deviation], "statistics", axis=1)


class _Means:
    """Local means: each frame gets the mean of its 100 frames, the last of however many are left.

    Padded, summed and divided by an explicit count, since runtimes do not agree on what an average
    pool with `ceil_mode` divides by.

    Args:
        graph: where the nodes go.
        like: a value [B, C, T] with the frames of all that follow.
    """

    def __init__(self, graph: Graph, like: str) -> None:
        self._graph = graph
        self._frames = graph.op("Shape", [like], "frames", start=2, end=3)
        segment, op = graph.integers(SEGMENT), graph.op
        rounded = op("Add", [self._frames, graph.integers(SEGMENT - 1)], "frames.up")
        rounded = op("Div", [rounded, segment], "frames.segments")
        whole = op("Mul", [rounded, segment], "frames.whole")
        missing = op("Sub", [whole, self._frames], "frames.missing")
        self._pads = op("Concat", [graph.integers(0, 0, 0, 0, 0), missing], "pads", axis=0)
        size = op("Concat", [graph.integers(1, 1), self._frames], "ones.shape", axis=0)
        one = graph.constant("one", np.ones((1, 1, 1), np.float32))
        self._counts = self._sums(op("Expand", [one, size], "ones"), "counts")

    def of(self, x: str, key: str) -> str:
        """The local means of x [B, C, T], plus the mean over all of it: [B, C, T]."""
        graph, op = self._graph, self._graph.op
        mean = op("Div", [self._sums(x, key), self._counts], f"{key}.local")
        wide = graph.constant("wide", np.ones((1, 1, 1, SEGMENT), np.float32))
        y = op("Mul", [mean, wide], f"{key}.wide")
        y = op("Reshape", [y, graph.integers(0, 0, -1)], f"{key}.flat")
        time = graph.integers(2)
        y = op("Slice", [y, graph.integers(0), self._frames, time], f"{key}.means")
        whole = op("ReduceMean", [x], f"{key}.mean", axes=(2,), keepdims=1)
        return op("Add", [whole, y], f"{key}.context")

    def _sums(self, x: str, key: str) -> str:
        """Sums of 100 frames of x [B, C, T]: [B, C, ceil(T / 100), 1]."""
        graph, op = self._graph, self._graph.op
        y = op("Pad", [x, self._pads], f"{key}.padded")
        y = op("Reshape", [y, graph.integers(0, 0, -1, SEGMENT)], f"{key}.cut")
        return op("ReduceSum", [y, graph.integers(3)], f"{key}.sums", keepdims=1)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes layers with tensors of the checkpoint.

    Attributes:
        graph: where the nodes go.
        weights: tensors by name.
    """

    graph: Graph
    weights: Mapping[str, Array]

    def conv(self, x: str, key: str, **attributes: Attribute) -> str:
        """A convolution, with its bias where it has one. Raises CheckpointError."""
        biased = f"{key}.bias" in self.weights
        inputs = [x, self._tensor(f"{key}.weight")]
        inputs += [self._tensor(f"{key}.bias")] if biased else []
        return self.graph.op("Conv", inputs, f"{key}.out", domain="", outputs=None, **attributes)

    def norm(self, x: str, key: str) -> str:
        """A batch norm with its running statistics. Raises CheckpointError."""
        mean, variance = self._tensor(f"{key}.running_mean"), self._tensor(f"{key}.running_var")
        size = self.weights[f"{key}.running_mean"].shape
        gain, bias = (
            self._tensor(f"{key}.{part}")
            if f"{key}.{part}" in self.weights
            else self.graph.constant(f"{part}_{size[0]}", np.full(size, plain, np.float32))
            for part, plain in (("weight", 1.0), ("bias", 0.0))
        )
        inputs = [x, gain, bias, mean, variance]
        return self.graph.op("BatchNormalization", inputs, f"{key}.out", epsilon=EPSILON)

    def active(self, x: str, key: str) -> str:
        """A batch norm and a ReLU."""
        return self.graph.op("Relu", [self.norm(x, key)], f"{key}.relu")

    def _tensor(self, key: str) -> str:
        if key not in self.weights:
            raise CheckpointError(f"there is no tensor {key}")
        value = self.weights[key]
        return self.graph.weight(
            key, np.float32, value.shape, lambda: np.asarray(value, np.float32)
        )
