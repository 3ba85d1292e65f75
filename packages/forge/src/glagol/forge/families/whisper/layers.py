"""What the layers of encoder and decoder have in common: norms, projections, feed-forward.

Whisper's layers are those of the Transformer (Vaswani et al. 2017, arXiv 1706.03762) with the norm
in front of each module; names are openai-whisper's (whisper/model.py). Keys have no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.whisper.sizes import Sizes
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import Linear, Matrix, narrowed

Float32 = NDArray[np.float32]

EPSILON = 1e-5
"""Of every layer norm."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Writes parts of layers into a graph.

    Attributes:
        graph: where the nodes go.
        sizes: of the model.
        weights: tensors under normalised names.
        linear: how products are computed.
        contraction: how the second product of a feed-forward module is; its input has rows that
            are many times larger than the rest.
    """

    graph: Graph
    sizes: Sizes
    weights: Mapping[str, NDArray[np.generic]]
    linear: Linear
    contraction: Linear

    def make(self, key: str) -> Callable[[], Float32]:
        """Return the maker of a tensor in float32."""
        return lambda: np.asarray(self.weights[key], dtype=np.float32)

    def tensor(self, key: str) -> str:
        """Add a tensor as it is, in the type of the values; return its name."""
        real = self.linear.real
        return self.graph.weight(key, real, self.weights[key].shape, narrowed(self.make(key), real))

    def norm(self, x: str, key: str) -> str:
        """Write a layer norm of x [..., D]."""
        gain, bias = self.tensor(f"{key}.weight"), self.tensor(f"{key}.bias")
        inputs = [x, gain, bias]
        return self.graph.op("LayerNormalization", inputs, key, axis=-1, epsilon=EPSILON)

    def matrix(self, name: str, *keys: str) -> Matrix:
        """Return one matrix [K, N] that computes the projections ``keys`` side by side.

        A projection without a bias gets zeros beside one that has a bias.
        """
        outer, inner = (sum(self.weights[f"{key}.weight"].shape[0] for key in keys),) + (
            self.weights[f"{keys[0]}.weight"].shape[1],
        )

        def weight() -> Float32:
            return np.concatenate([self.make(f"{key}.weight")() for key in keys]).T

        def bias() -> Float32:
            return np.concatenate([self._bias(key) for key in keys])

        biased = any(f"{key}.bias" in self.weights for key in keys)
        return Matrix(name, (inner, outer), weight, bias if biased else None)

    def _bias(self, key: str) -> Float32:
        if f"{key}.bias" in self.weights:
            return self.make(f"{key}.bias")()
        return np.zeros(self.weights[f"{key}.weight"].shape[0], np.float32)

    def project(self, x: str, key: str) -> str:
        """Write one projection of x [..., D]."""
        return self.linear.apply(self.linear.feed(x, f"{key}.in"), self.matrix(key, key))

    def feed_forward(self, x: str, key: str) -> str:
        """Write norm, linear, GELU (exact), linear, and the sum with x."""
        graph = self.graph
        y = self.project(self.norm(x, f"{key}.mlp_ln"), f"{key}.mlp.0")
        y = graph.contrib("Gelu", [y], f"{key}.mlp.1")
        outer = f"{key}.mlp.2"
        fed = self.contraction.feed(y, f"{outer}.in")
        y = self.contraction.apply(fed, self.matrix(outer, outer))
        return graph.op("Add", [x, y], f"{key}.mlp.sum")
