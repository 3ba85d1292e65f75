"""The encoder as a graph: token ids in, one vector of length 1 out for each text.

Axes: B texts, T tokens, D width, N products side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.bert.layers import Layers
from glagol.forge.families.bert.sizes import KINDS, POSITIONS, WORDS
from glagol.forge.onnx.graph import kind_of
from glagol.forge.onnx.linear import narrowed
from glagol.forge.onnx.protobuf import DataType
from glagol.forge.onnx.quantize import block_size, quantise_blocks

__all__ = ["author"]

NORM_MIN = 1e-12
"""The smallest length that a vector is divided by."""


def author(layers: Layers, *, blocks: bool) -> None:
    """Write the whole graph with its inputs and outputs.

    Inputs ``input_ids`` int64 [B, T] and ``attention_mask`` int64 [B, T], 1 for a token and 0 for
    padding behind it; at least one token in every row. Output ``embedding`` float32 [B, D].

    Args:
        layers: of the model.
        blocks: whether the table of words is stored in bytes, with one scale per block.
    """
    graph, real = layers.graph, kind_of(layers.linear.real)
    ids = graph.input("input_ids", DataType.INT64, ["B", "T"])
    mask = graph.input("attention_mask", DataType.INT64, ["B", "T"])
    words = _bytes(layers, ids) if blocks else _floats(layers, ids)
    x = graph.op("Add", [words, _positions(layers, ids)], "embedded")
    x = layers.norm(x, "embeddings.LayerNorm")
    keep = graph.op("Cast", [mask], "mask.keys", to=DataType.INT32.value)
    for number in range(layers.sizes.layers):
        x = _layer(layers, x, keep, f"encoder.layer.{number}")
    if real != DataType.FLOAT:
        x = graph.op("Cast", [x], "hidden", to=DataType.FLOAT.value)
    pooled = _first(layers, x) if layers.stated.pooling == "cls" else _mean(layers, x, mask)
    length = graph.op("ReduceL2", [pooled], "length", axes=(-1,), keepdims=1)
    least = graph.constant("length.min", np.array(NORM_MIN, np.float32))
    length = graph.op("Max", [length, least], "length.divisor")
    graph.op("Div", [pooled, length], "embedding")
    graph.output("embedding", DataType.FLOAT, ["B", layers.sizes.width])


def _floats(layers: Layers, ids: str) -> str:
    graph, sizes, real = layers.graph, layers.sizes, layers.linear.real
    make = narrowed(layers.make(WORDS), real)
    table = graph.weight(WORDS, real, (sizes.vocabulary, sizes.width), make)
    return graph.op("Gather", [table, ids], "words", axis=0)


def _bytes(layers: Layers, ids: str) -> str:
    graph, sizes = layers.graph, layers.sizes
    size = block_size(sizes.width)
    make = layers.make(WORDS)
    shape = (sizes.vocabulary, sizes.width)
    values = graph.weight(
        WORDS, np.uint8, shape, lambda: quantise_blocks(make(), size).values.reshape(shape)
    )
    steps = graph.weight(
        f"{WORDS}.steps",
        np.float32,
        (sizes.vocabulary, sizes.width // size),
        lambda: quantise_blocks(make(), size).scales,
    )
    return graph.contrib(
        "GatherBlockQuantized",
        [values, ids, steps],
        "words",
        bits=8,
        block_size=size,
        gather_axis=0,
        quantize_axis=1,
    )


def _positions(layers: Layers, ids: str) -> str:
    """The rows [T, D] of the positions, with the row of the one token type that is used."""
    graph, sizes, real = layers.graph, layers.sizes, layers.linear.real
    first, count = layers.stated.first_position, layers.stated.tokens_max

    def rows() -> NDArray[np.float32]:
        kind: NDArray[np.float32] = layers.make(KINDS)()[0]
        return np.add(layers.make(POSITIONS)()[first : first + count], kind)

    table = graph.weight(POSITIONS, real, (count, sizes.width), narrowed(rows, real))
    tokens = graph.op("Shape", [ids], "tokens", start=1, end=2)
    start = graph.integers(0)
    return graph.op("Slice", [table, start, tokens, start], "positions")


def _layer(layers: Layers, x: str, keep: str, key: str) -> str:
    graph, sizes = layers.graph, layers.sizes
    width, hidden = sizes.width, sizes.hidden
    parts = ("query", "key", "value")
    attention = f"{key}.attention"
    keys = [f"{attention}.self.{part}" for part in parts]
    y = layers.project(x, f"{attention}.self", (width, 3 * width), *keys)
    outputs = [f"{name}.split" for name in keys]
    graph.op(
        "Split", [y, graph.integers(width, width, width)], f"{attention}.split",
        outputs=outputs, axis=-1,
    )  # fmt: skip
    mixed = graph.contrib(
        "MultiHeadAttention", [*outputs, "", keep], f"{attention}.mixed",
        num_heads=layers.stated.heads,
    )  # fmt: skip
    dense = f"{attention}.output.dense"
    y = layers.project(mixed, dense, (width, width), dense)
    x = layers.sum_norm(x, y, f"{attention}.output.LayerNorm")
    dense = f"{key}.intermediate.dense"
    y = graph.contrib("Gelu", [layers.project(x, dense, (width, hidden), dense)], f"{key}.gelu")
    dense = f"{key}.output.dense"
    y = layers.project(y, dense, (hidden, width), dense)
    return layers.sum_norm(x, y, f"{key}.output.LayerNorm")


def _first(layers: Layers, x: str) -> str:
    graph = layers.graph
    zero = graph.constant("first", np.array(0, np.int64))
    return graph.op("Gather", [x, zero], "pooled", axis=1)


def _mean(layers: Layers, x: str, mask: str) -> str:
    """The mean over the tokens that are kept [B, D]."""
    graph = layers.graph
    kept = graph.op("Cast", [mask], "mask.float", to=DataType.FLOAT.value)
    column = graph.op("Unsqueeze", [kept, graph.integers(-1)], "mask.column")
    axis = graph.integers(1)
    total = graph.op("ReduceSum", [graph.op("Mul", [x, column], "kept"), axis], "sum", keepdims=0)
    count = graph.op("ReduceSum", [kept, axis], "count", keepdims=1)
    return graph.op("Div", [total, count], "pooled")
