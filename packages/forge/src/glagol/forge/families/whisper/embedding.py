"""The table of tokens, which is read twice: as rows for the input, as a matrix for the logits.

It is half of a small model, so the data file holds it once.

Axes: B beams, S and K tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

from glagol.forge.families.whisper.layers import Layers
from glagol.forge.onnx.linear import BlockLinear
from glagol.forge.onnx.quantize import block_size

KEY = "decoder.token_embedding"


class Embedding(Protocol):
    """Writes both uses of the table."""

    def look_up(self, tokens: str) -> str:
        """Return the rows [B, S, D] of ``tokens`` int64 [B, S]."""
        ...

    def logits(self, x: str) -> str:
        """Return the products [B, K, V] of x [B, K, D] with every row."""
        ...


class FloatEmbedding:
    """Single or half precision: one tensor [V, D] for both."""

    def __init__(self, layers: Layers) -> None:
        self._graph = layers.graph
        self._table = layers.tensor(f"{KEY}.weight")

    def look_up(self, tokens: str) -> str:
        """Return the rows [B, S, D] of ``tokens`` int64 [B, S]."""
        return self._graph.op("Gather", [self._table, tokens], "rows", axis=0)

    def logits(self, x: str) -> str:
        """Return the products [B, K, V] of x [B, K, D] with every row."""
        return self._graph.contrib("FusedMatMul", [x, self._table], "scores", transB=1)


class BlockEmbedding:
    """Bytes with one scale per block of a row, as ``BlockLinear`` has them."""

    def __init__(self, layers: Layers) -> None:
        self._graph = layers.graph
        self._linear = BlockLinear(layers.graph)
        self._matrix = layers.matrix("scores", KEY)
        self._stored = self._linear.store(self._matrix)

    def look_up(self, tokens: str) -> str:
        """Return the rows [B, S, D] of ``tokens`` int64 [B, S]."""
        width, vocabulary = self._matrix.shape
        values, scales = self._stored
        rows = self._graph.reshaped("table", (vocabulary, width), values)
        return self._graph.contrib(
            "GatherBlockQuantized",
            [rows, tokens, scales],
            "rows",
            bits=8,
            block_size=block_size(width),
            gather_axis=0,
            quantize_axis=1,
        )

    def logits(self, x: str) -> str:
        """Return the products [B, K, V] of x [B, K, D] with every row."""
        return self._linear.multiply((x,), self._matrix, self._stored)
