"""Build the artifacts of a model from its weights: the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.checkpoints.tokenizer import Vocabulary, characters, sentencepiece
from glagol.forge.families.gigaam.architecture import Architecture, Head, Precision, infer
from glagol.forge.families.gigaam.encoder import Encoder
from glagol.forge.families.gigaam.head import write_head
from glagol.forge.families.gigaam.weights import normalise
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import FloatLinear, Int8Linear, Linear

Array = NDArray[np.generic]

BUILDER_VERSION = "1"
"""Changes whenever the same weights would give other bytes."""

GRAPH, DATA, HEAD, VOCABULARY = (
    "encoder.onnx",
    "encoder.data",
    "head.safetensors",
    "vocabulary.json",
)


_LINEARS: Mapping[Precision, Callable[[Graph], Linear]] = {
    "fp32": FloatLinear,
    "int8": Int8Linear,
    "fp16": partial(FloatLinear, real=np.float16),
}


def build(
    source: Mapping[str, Array],
    config: Mapping[str, Any],
    precision: Precision,
    head: Head,
    *,
    tokenizer: bytes | None = None,
) -> dict[str, bytes]:
    """Build every artifact of one variant.

    Args:
        source: tensors of the checkpoint by name, float16 or float32.
        config: the parsed configuration beside the checkpoint.
        precision: of the layers' matrix products; the first and the output layer are float32.
        head: which head the artifacts serve.
        tokenizer: the SentencePiece model file, for checkpoints that use one.

    Returns:
        Artifact name to bytes: encoder.onnx, encoder.data, head.safetensors, vocabulary.json.

    Raises:
        CheckpointError: weights, configuration and vocabulary do not fit together, or a weight is
            NaN or infinite.
    """
    weights = normalise(source, head)
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise CheckpointError(f"{name} holds values that are not finite numbers")
    sizes = infer(config, weights, head)
    vocabulary = read_vocabulary(config, tokenizer)
    if len(vocabulary.pieces) + 1 != sizes.classes:
        raise CheckpointError(
            f"{len(vocabulary.pieces)} pieces and a blank, but {sizes.classes} classes"
        )
    model, data = build_graph(sizes, weights, precision)
    return {
        GRAPH: model,
        DATA: data,
        HEAD: write_head(sizes, weights),
        VOCABULARY: vocabulary.write(),
    }


def build_graph(
    sizes: Architecture, weights: Mapping[str, Array], precision: Precision
) -> tuple[bytes, bytes]:
    """Return the bytes of the encoder's model file and data file.

    Args:
        sizes: the architecture.
        weights: tensors under normalised names (``weights.normalise``).
        precision: of the layers' matrix products.

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape.
    """
    graph = Graph("encoder", DATA)
    linear = _LINEARS[precision](graph)
    try:
        Encoder(graph, sizes, weights, linear).author()
        return graph.finish(BUILDER_VERSION, {"precision": precision, "head": sizes.head})
    except KeyError as error:
        raise CheckpointError(f"the checkpoint has no tensor {error.args[0]}") from error
    except ValueError as error:
        raise CheckpointError(f"the checkpoint has a misshapen tensor: {error}") from error


def read_vocabulary(config: Mapping[str, Any], tokenizer: bytes | None) -> Vocabulary:
    """Return the vocabulary: of the tokenizer file if there is one, else of the configuration.

    Raises:
        CheckpointError: neither is there, or it is malformed.
    """
    if tokenizer is not None:
        return sentencepiece(tokenizer)
    nested: Any = config
    for key in ("cfg", "model", "cfg", "decoding"):
        nested = nested.get(key, {}) if isinstance(nested, Mapping) else {}
    symbols = config.get("vocabulary") or nested.get("vocabulary")
    if not symbols:
        raise CheckpointError("no tokenizer file, and no vocabulary in the configuration")
    return characters(symbols)
