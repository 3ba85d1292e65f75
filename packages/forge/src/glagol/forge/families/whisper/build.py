"""Build the artifacts of a model from its weights: the same bytes on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.whisper import encoder
from glagol.forge.families.whisper.decoder import Decoder
from glagol.forge.families.whisper.embedding import BlockEmbedding, Embedding, FloatEmbedding
from glagol.forge.families.whisper.layers import Layers
from glagol.forge.families.whisper.sizes import Precision, Sizes
from glagol.forge.families.whisper.smoothing import Smoothed
from glagol.forge.families.whisper.tokens import write_tokens
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import BlockLinear, FloatLinear, Int8Linear, Linear

Array = NDArray[np.generic]
Heads = Sequence[tuple[int, int]]

BUILDER_VERSION: Final = "1"
"""Changes whenever the same weights would give other bytes."""

NAMES: Final = ("encoder.onnx", "encoder.data", "decoder.onnx", "decoder.data", "tokens.txt")
"""Of the artifacts."""


def build(
    weights: Mapping[str, Array],
    sizes: Sizes,
    tokens: tuple[bytes, ...],
    heads: Heads,
    precision: Precision,
) -> dict[str, bytes]:
    """Build every artifact of one variant.

    Args:
        weights: tensors under normalised names, float16 or float32, that fit ``sizes``.
        sizes: of the model.
        tokens: bytes of the text tokens, by id.
        heads: (layer, head) of the decoder's cross-attention heads whose queries are given out.
        precision: of the products inside the layers.

    Returns:
        Artifact name to bytes: encoder.onnx, encoder.data, decoder.onnx, decoder.data, tokens.txt.

    Raises:
        CheckpointError: a weight is NaN or infinite, or too large for half precision; the
            alignment heads are none of the model's, or not in ascending order.
    """
    check_heads(heads, sizes)
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise CheckpointError(f"{name} holds values that are not finite numbers")
    texts = write_tokens(tokens)
    # Says which tokenizer the ids of the graph belong to.
    notes = {"precision": precision, "tokens": hashlib.sha256(texts).hexdigest()}
    try:
        encoded = _encoder(weights, sizes, precision).finish(BUILDER_VERSION, notes)
        decoded = _decoder(weights, sizes, heads, precision).finish(BUILDER_VERSION, notes)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint cannot be built: {error}") from error
    return dict(zip(NAMES, (*encoded, *decoded, texts), strict=True))


def check_heads(heads: Heads, sizes: Sizes) -> None:
    """Refuse alignment heads that the model cannot have. Raises CheckpointError."""
    if not heads or list(heads) != sorted(set(heads)):
        raise CheckpointError("its alignment heads are none, or not in ascending order")
    for layer, head in heads:
        if not (0 <= layer < sizes.decoder_layers and 0 <= head < sizes.heads):
            raise CheckpointError(
                f"the alignment head {layer}.{head} is none of {sizes.decoder_layers} layers of"
                f" {sizes.heads} heads"
            )


def _encoder(weights: Mapping[str, Array], sizes: Sizes, precision: Precision) -> Graph:
    graph = Graph("encoder", NAMES[1])
    if precision == "int8":
        smooth = Smoothed(weights, sizes)
        layers = Layers(graph, sizes, smooth, Int8Linear(graph), BlockLinear(graph))
    else:
        linear = _float(graph, precision)
        layers = Layers(graph, sizes, weights, linear, linear)
    encoder.author(layers)
    return graph


def _decoder(
    weights: Mapping[str, Array], sizes: Sizes, heads: Heads, precision: Precision
) -> Graph:
    graph = Graph("decoder", NAMES[3])
    blocks = precision == "int8"
    linear: Linear = BlockLinear(graph) if blocks else _float(graph, precision)
    layers = Layers(graph, sizes, weights, linear, linear)
    table: Callable[[Layers], Embedding] = BlockEmbedding if blocks else FloatEmbedding
    Decoder(layers, table(layers), heads).author()
    return graph


def _float(graph: Graph, precision: Precision) -> Linear:
    return FloatLinear(graph, np.float16 if precision == "fp16" else np.float32)
