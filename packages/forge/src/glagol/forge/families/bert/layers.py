"""Parts of an encoder that every layer has: tensors, norms, projections.

The layers are those of the Transformer (Vaswani et al. 2017, arXiv 1706.03762) with the norm behind
each sum; names are Hugging Face's (transformers, models/bert/modeling_bert.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.bert.sizes import Sizes, Stated
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import Linear, Matrix, narrowed

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layers:
    """Writes parts of layers into a graph.

    Attributes:
        graph: where the nodes go.
        sizes: of the model.
        stated: by the entry.
        weights: tensors under common names.
        linear: how products are computed.
    """

    graph: Graph
    sizes: Sizes
    stated: Stated
    weights: Mapping[str, NDArray[np.generic]]
    linear: Linear

    def make(self, key: str) -> Callable[[], Float32]:
        """Return the maker of a tensor in float32."""
        return lambda: np.asarray(self.weights[key], dtype=np.float32)

    def tensor(self, key: str) -> str:
        """Add a vector as it is, in the type of the values; return its name."""
        real = self.linear.real
        return self.graph.weight(key, real, (self.sizes.width,), narrowed(self.make(key), real))

    def norm(self, x: str, key: str) -> str:
        """Write a layer norm of x [..., D]."""
        inputs = [x, self.tensor(f"{key}.weight"), self.tensor(f"{key}.bias")]
        return self.graph.op(
            "LayerNormalization", inputs, key, axis=-1, epsilon=self.stated.epsilon
        )

    def sum_norm(self, x: str, y: str, key: str) -> str:
        """Write a layer norm of x + y [B, T, D]."""
        inputs = [y, x, self.tensor(f"{key}.weight"), self.tensor(f"{key}.bias")]
        return self.graph.contrib(
            "SkipLayerNormalization", inputs, key, epsilon=self.stated.epsilon
        )

    def project(self, x: str, name: str, shape: tuple[int, int], *keys: str) -> str:
        """Write the projections ``keys`` of x [..., K] side by side: one product [..., N].

        Args:
            x: the value.
            name: of the product.
            shape: (K, N).
            keys: names of the modules, in the order of their columns.
        """

        def weight() -> Float32:
            return np.concatenate([self.make(f"{key}.weight")() for key in keys]).T

        def bias() -> Float32:
            return np.concatenate([self.make(f"{key}.bias")() for key in keys])

        matrix = Matrix(name, shape, weight, bias)
        return self.linear.apply(self.linear.feed(x, f"{name}.in"), matrix)
