"""PyanNet as a graph: which of three local speakers are active in each frame of a window.

The network of `pyannote/segmentation-3.0`: SincNet (Ravanelli and Bengio 2018, arXiv 1808.00158),
four bidirectional LSTM, two linear layers, seven classes of speaker sets ("powerset", Plaquet and
Bredin 2023, arXiv 2310.13025). Sources: pyannote-audio `models/segmentation/PyanNet.py` and
`models/blocks/sincnet.py`, asteroid-filterbanks `param_sinc_fb.py`.

Input `samples` float32 [B, 1, N], output `classes` float32 [B, F, 7], log-probabilities of
silence, 1, 2, 3, 1+2, 1+3, 2+3. 160000 samples give 589 frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.protobuf import DataType
from glagol.forge.trigonometry import sine_cosine

Array = NDArray[np.generic]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

CLASSES: Final = 7
HIDDEN: Final = 128
LAYERS: Final = 4
FILTER_STRIDE: Final = 10
LOWEST_HZ, NARROWEST_HZ, HIGHEST_HZ = 50.0, 50.0, 8000.0
EPSILON: Final = 1e-5
SLOPE: Final = 0.01
_FILTERS = "sincnet.conv1d.0.filterbank"


def author(graph: Graph, weights: Mapping[str, Array]) -> None:
    """Write the whole graph.

    Args:
        graph: empty.
        weights: tensors under the names of the checkpoint.

    Raises:
        CheckpointError: a tensor is absent or has another shape.
    """
    make = _Writer(graph, weights)
    x = graph.input("samples", DataType.FLOAT, ["B", 1, "N"])
    x = make.instance_norm(x, "sincnet.wav_norm1d")
    for number in range(3):
        x = _convolved(make, x, number)
    x = graph.op("Transpose", [x], "time_first", perm=(2, 0, 1))
    for layer in range(LAYERS):
        x = _lstm(make, x, layer)
    x = graph.op("Transpose", [x], "batch_first", perm=(1, 0, 2))
    for number in range(2):
        x = make.linear(x, f"linear.{number}")
        x = graph.op("LeakyRelu", [x], f"linear.{number}.slope", alpha=SLOPE)
    x = make.linear(x, "classifier")
    graph.op("LogSoftmax", [x], "classes", axis=-1)
    graph.output("classes", DataType.FLOAT, ["B", "F", CLASSES])


def _convolved(make: _Writer, x: str, number: int) -> str:
    """One of SincNet's three layers: filters, maxima of three frames, norm, slope."""
    graph, key = make.graph, f"sincnet.conv1d.{number}"
    if number == 0:
        bank = filters(
            make.float64(f"{_FILTERS}.low_hz_", (40, 1)),
            make.float64(f"{_FILTERS}.band_hz_", (40, 1)),
            make.float64(f"{_FILTERS}.n_", (1, 125)),
            make.float64(f"{_FILTERS}.window_", (125,)),
        )
        kernel = graph.weight(key, np.float32, bank.shape, lambda: bank)
        x = graph.op("Conv", [x, kernel], f"{key}.out", strides=(FILTER_STRIDE,))
        x = graph.op("Abs", [x], f"{key}.abs")
    else:
        inputs = [x, make.tensor(f"{key}.weight"), make.tensor(f"{key}.bias")]
        x = graph.op("Conv", inputs, f"{key}.out")
    x = graph.op("MaxPool", [x], f"{key}.pool", kernel_shape=(3,), strides=(3,))
    x = make.instance_norm(x, f"sincnet.norm1d.{number}")
    return graph.op("LeakyRelu", [x], f"{key}.slope", alpha=SLOPE)


def filters(low: Float64, band: Float64, times: Float64, window: Float64) -> Float32:
    """SincNet's band-pass filters, 40 even ones and 40 odd ones.

    Args:
        low: learnt lower edges [40, 1], Hz above 50.
        band: learnt widths [40, 1], Hz above 50.
        times: left half of the time axis times 2 pi [1, 125], negative, in seconds.
        window: left half of the window [125].

    Returns:
        float32 [80, 1, 251].
    """
    lower = LOWEST_HZ + np.abs(low)
    upper = np.clip(lower + NARROWEST_HZ + np.abs(band), LOWEST_HZ, HIGHEST_HZ)
    width = upper - lower
    (sine_low, cosine_low), (sine_high, cosine_high) = (
        sine_cosine(edge * -times) for edge in (lower, upper)
    )
    # times are negative: the sine of a negative angle is minus that of the angle
    even = (sine_low - sine_high) / (times / 2) * window
    odd = (cosine_low - cosine_high) / (times / 2) * window
    zeros = np.zeros_like(width)
    bank = np.concatenate(
        [
            np.concatenate([even, 2 * width, even[:, ::-1]], axis=1) / (2 * width),
            np.concatenate([odd, zeros, -odd[:, ::-1]], axis=1) / (2 * width),
        ]
    )
    return bank[:, None].astype(np.float32)


def _lstm(make: _Writer, x: str, layer: int) -> str:
    """A bidirectional LSTM of x [F, B, D]: [F, B, 256]."""
    graph, key = make.graph, f"lstm.{layer}"

    def both(part: str) -> list[Float32]:
        names = (f"lstm.{part}_l{layer}", f"lstm.{part}_l{layer}_reverse")
        return [_gates(make.float32(name)) for name in names]

    def stacked(part: str) -> Float32:
        return np.stack(both(part))

    def biases() -> Float32:
        return np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)

    width = make.shape(f"lstm.weight_ih_l{layer}")[1]
    gates = 4 * HIDDEN
    inputs = [
        x,
        graph.weight(f"{key}.w", np.float32, (2, gates, width), lambda: stacked("weight_ih")),
        graph.weight(f"{key}.r", np.float32, (2, gates, HIDDEN), lambda: stacked("weight_hh")),
        graph.weight(f"{key}.b", np.float32, (2, 2 * gates), biases),
    ]
    y = graph.op("LSTM", inputs, key, hidden_size=HIDDEN, direction="bidirectional")
    y = graph.op("Transpose", [y], f"{key}.directions", perm=(0, 2, 1, 3))
    return graph.op("Reshape", [y, graph.integers(0, 0, 2 * HIDDEN)], f"{key}.out")


def _gates(value: Float32) -> Float32:
    """The rows of the four gates from torch's order (i, f, g, o) to ONNX's (i, o, f, c)."""
    i, f, g, o = np.split(value, 4)
    return np.concatenate([i, o, f, g])


class _Writer:
    """Writes layers with tensors of the checkpoint."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array]) -> None:
        self.graph = graph
        self._weights = weights

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises CheckpointError."""
        if key not in self._weights:
            raise CheckpointError(f"there is no tensor {key}")
        return self._weights[key].shape

    def float32(self, key: str) -> Float32:
        """A tensor in float32."""
        return np.asarray(self._weights[key], np.float32)

    def float64(self, key: str, shape: tuple[int, ...]) -> Float64:
        """A tensor of one known shape in float64. Raises CheckpointError."""
        if self.shape(key) != shape:
            raise CheckpointError(f"{key} has the shape {self.shape(key)}, not {shape}")
        return np.asarray(self._weights[key], np.float64)

    def tensor(self, key: str) -> str:
        """Add a tensor as it is; its name. Raises CheckpointError."""
        return self.graph.weight(key, np.float32, self.shape(key), lambda: self.float32(key))

    def instance_norm(self, x: str, key: str) -> str:
        """Norm of each channel of x [B, C, N] over the window."""
        inputs = [x, self.tensor(f"{key}.weight"), self.tensor(f"{key}.bias")]
        return self.graph.op("InstanceNormalization", inputs, key, epsilon=EPSILON)

    def linear(self, x: str, key: str) -> str:
        """A linear layer of x [..., K]."""
        outer, inner = self.shape(f"{key}.weight")
        name = f"{key}.weight"
        matrix = self.graph.weight(
            name, np.float32, (inner, outer), lambda: np.ascontiguousarray(self.float32(name).T)
        )
        product = self.graph.op("MatMul", [x, matrix], f"{key}.product")
        return self.graph.op("Add", [product, self.tensor(f"{key}.bias")], key)
