"""The decoder as one graph that serves the prompt and every step behind it.

Keys and values of self-attention live in buffers of the longest sequence, which the caller binds
as input and output at once: ``GroupQueryAttention`` writes the new positions in place. Beams are
rows of tokens over one recording; in cross-attention they ride as queries side by side, so that
its keys and values are there once, whatever the number of beams. ONNX Runtime's kernel takes
several tokens a row where there is one row, or nothing came before; else one token a row.

Axes: B beams, S tokens, K tokens whose logits are wanted, D width, H heads, L encoder frames,
A alignment heads, V vocabulary, C longest sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glagol.forge.families.whisper.embedding import Embedding
from glagol.forge.families.whisper.layers import Layers
from glagol.forge.families.whisper.sizes import HEAD_SIZE
from glagol.forge.onnx.graph import kind_of
from glagol.forge.onnx.protobuf import DataType


class Decoder:
    """Writes the decoder into a graph.

    Args:
        layers: writes the parts of the layers.
        embedding: writes the lookup of tokens and the product that gives logits.
        heads: (layer, head) of the cross-attention heads that follow the words in time, ascending.
    """

    def __init__(
        self, layers: Layers, embedding: Embedding, heads: Sequence[tuple[int, int]]
    ) -> None:
        self._layers = layers
        self._graph = layers.graph
        self._embedding = embedding
        self._heads = heads
        self._kind = kind_of(layers.linear.real)
        self._queries: list[str] = []

    def author(self) -> None:
        """Write the whole graph with its inputs and outputs.

        Inputs: ``tokens`` int64 [B, S]; ``past`` int32 [B], n + S - 1 where n tokens came before;
        ``total`` int32 [1], n + S; ``positions`` int64 [B, S]; ``at`` int64 [K], which of the S
        tokens need logits; ``self_key_{i}``, ``self_value_{i}`` [B, H, C, 64]; ``cross_key_{i}``,
        ``cross_value_{i}`` [1, H, L, 64]. Outputs: ``logits`` float32 [B, K, V];
        ``self_key_{i}_out``, ``self_value_{i}_out`` as the inputs; ``queries`` float32
        [B, S, A, 64], those of the alignment heads before the scale of 1/8.
        """
        graph, sizes = self._graph, self._layers.sizes
        tokens = graph.input("tokens", DataType.INT64, ["B", "S"])
        graph.input("past", DataType.INT32, ["B"])
        graph.input("total", DataType.INT32, [1])
        positions = graph.input("positions", DataType.INT64, ["B", "S"])
        at = graph.input("at", DataType.INT64, ["K"])
        table = self._layers.tensor("decoder.positional_embedding")
        places = graph.op("Gather", [table, positions], "places", axis=0)
        x = graph.op("Add", [self._embedding.look_up(tokens), places], "embedded")
        graph.op("Shape", [x], "embedded.shape")
        for number in range(sizes.decoder_layers):
            x = self._self_attention(x, number)
            x = self._cross_attention(x, number)
            x = self._layers.feed_forward(x, f"decoder.blocks.{number}")
        x = graph.op("Gather", [x, at], "wanted", axis=1)
        x = self._embedding.logits(self._layers.norm(x, "decoder.ln"))
        self._single(x, "logits", ["B", "K", sizes.vocabulary])
        self._emit_queries()

    def _self_attention(self, x: str, number: int) -> str:
        graph, layers, heads = self._graph, self._layers, self._layers.sizes.heads
        key = f"decoder.blocks.{number}.attn"
        shape: list[int | str] = ["B", heads, layers.sizes.context, HEAD_SIZE]
        names = [f"self_{part}_{number}" for part in ("key", "value")]
        for name in names:
            graph.input(name, self._kind, shape)
            graph.output(f"{name}_out", self._kind, shape)
        packed = layers.matrix(f"{key}.packed", *(f"{key}.{p}" for p in ("query", "key", "value")))
        fed = layers.linear.feed(layers.norm(x, f"{key}_ln"), f"{key}.in")
        mixed = graph.contrib(
            "GroupQueryAttention",
            [layers.linear.apply(fed, packed), "", "", *names, "past", "total"],
            f"{key}.mixed",
            outputs=[f"{key}.mixed", *(f"{name}_out" for name in names)],
            num_heads=heads,
            kv_num_heads=heads,
        )
        return graph.op("Add", [x, layers.project(mixed, f"{key}.out")], f"{key}.sum")

    def _cross_attention(self, x: str, number: int) -> str:
        graph, layers, sizes = self._graph, self._layers, self._layers.sizes
        key = f"decoder.blocks.{number}.cross_attn"
        names = [f"cross_{part}_{number}" for part in ("key", "value")]
        for name in names:
            graph.input(name, self._kind, [1, sizes.heads, "L", HEAD_SIZE])
        query = layers.project(layers.norm(x, f"{key}_ln"), f"{key}.query")
        self._keep(query, number)
        flat = graph.op("Reshape", [query, graph.integers(1, -1, sizes.width)], f"{key}.flat")
        mixed = graph.contrib(
            "MultiHeadAttention", [flat, *names], f"{key}.mixed", num_heads=sizes.heads
        )
        mixed = graph.op("Reshape", [mixed, "embedded.shape"], f"{key}.rows")
        return graph.op("Add", [x, layers.project(mixed, f"{key}.out")], f"{key}.sum")

    def _keep(self, query: str, number: int) -> None:
        """Write the choice of this layer's alignment heads from its queries [B, S, D]."""
        mine = [head for layer, head in self._heads if layer == number]
        if mine:
            name = f"queries.{number}"
            starts = np.array(mine, np.int64)[:, None] * HEAD_SIZE
            columns = (starts + np.arange(HEAD_SIZE)).reshape(-1)
            chosen = self._graph.constant(f"{name}.columns", columns)
            self._queries.append(self._graph.op("Gather", [query, chosen], name, axis=2))

    def _emit_queries(self) -> None:
        graph = self._graph
        x = graph.op("Concat", self._queries, "queries.flat", axis=2)
        x = graph.op("Reshape", [x, graph.integers(0, 0, -1, HEAD_SIZE)], "queries.heads")
        self._single(x, "queries", ["B", "S", len(self._heads), HEAD_SIZE])

    def _single(self, x: str, name: str, shape: list[int | str]) -> None:
        """Let a value leave the graph in float32."""
        if self._kind == DataType.FLOAT:
            self._graph.op("Identity", [x], name)
        else:
            self._graph.op("Cast", [x], name, to=DataType.FLOAT.value)
        self._graph.output(name, DataType.FLOAT, shape)
