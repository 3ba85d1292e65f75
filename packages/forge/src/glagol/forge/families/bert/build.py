"""Builds the artifacts of a model from its weights: the same bytes on every machine."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.bert import encoder
from glagol.forge.families.bert.layers import Layers
from glagol.forge.families.bert.sizes import Precision, Stated
from glagol.forge.families.bert.source import Opened
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import FloatLinear, Int8Linear, Linear

__all__ = ["BUILDER_VERSION", "NAMES", "build"]

BUILDER_VERSION: Final = "1"
"""Changes whenever the same weights would give other bytes."""

NAMES: Final = ("encoder.onnx", "encoder.data", "sentencepiece.model")
"""Of the artifacts."""


def build(opened: Opened, stated: Stated, precision: Precision) -> dict[str, bytes]:
    """Build every artifact of one variant.

    Args:
        opened: weights, sizes and tokenizer.
        stated: by the entry.
        precision: of the products inside the layers.

    Returns:
        Artifact name to bytes: encoder.onnx, encoder.data, sentencepiece.model.

    Raises:
        CheckpointError: a weight is NaN or infinite, or too large for half precision; the
            tokenizer does not fit.
    """
    for name, value in opened.weights.items():
        if not np.isfinite(value).all():
            raise CheckpointError(f"{name} holds values that are not finite numbers")
    tokenizer = opened.tokenizer()
    graph = Graph("encoder", NAMES[1])
    linear: Linear = Int8Linear(graph)
    if precision != "int8":
        linear = FloatLinear(graph, np.float16 if precision == "fp16" else np.float32)
    layers = Layers(graph, opened.sizes, stated, opened.weights, linear)
    # Says which tokenizer the ids of the graph belong to.
    notes = {"precision": precision, "tokenizer": hashlib.sha256(tokenizer).hexdigest()}
    try:
        encoder.author(layers, blocks=precision == "int8")
        written = graph.finish(BUILDER_VERSION, notes)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint cannot be built: {error}") from error
    return dict(zip(NAMES, (*written, tokenizer), strict=True))
