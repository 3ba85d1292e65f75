"""Find the sizes of an encoder: from the shapes of its weights, and from the manifest's entry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError

__all__ = ["Precision", "Sizes", "Stated", "infer"]

Precision = Literal["fp32", "int8", "int4", "fp16"]
Pooling = Literal["mean", "cls"]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

WORDS: Final = "embeddings.word_embeddings.weight"
POSITIONS: Final = "embeddings.position_embeddings.weight"
KINDS: Final = "embeddings.token_type_embeddings.weight"

_LAYER = re.compile(r"encoder\.layer\.(\d{1,3})\.")


@dataclass(frozen=True, slots=True)
class Stated:
    """What the manifest's entry states: values that no shape shows, and some to compare with.

    Attributes:
        heads: attention heads of a layer.
        epsilon: epsilon of every layer norm.
        first_position: row of the first token's position; 2 in XLM-R, whose first rows are padding.
        pooling: how token vectors become one vector: the mean of all tokens, or the first token.
        vocabulary: rows of the table of word embeddings.
        dimensions: numbers of the vector, which is the width of the model.
        tokens_max: tokens of the longest text, with the begin and end tokens.
    """

    heads: int
    epsilon: float
    first_position: int
    pooling: Pooling
    vocabulary: int
    dimensions: int
    tokens_max: int

    @classmethod
    def of(cls, decoding: Mapping[str, Any]) -> Stated:
        """Read the values from an entry's decoding parameters. Raises CheckpointError."""
        try:
            pooling = str(decoding["pooling"])
            numbers = {
                name: int(decoding[name])
                for name in ("heads", "first_position", "vocabulary", "dimensions", "tokens_max")
            }
            epsilon = float(decoding["epsilon"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the decoding parameters of the entry lack {error}") from error
        if pooling not in {"mean", "cls"}:
            raise CheckpointError(f"decoding.pooling = {pooling!r}, not mean or cls")
        return cls(pooling=cast("Pooling", pooling), epsilon=epsilon, **numbers)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of an encoder.

    Attributes:
        vocabulary: rows of the table of word embeddings.
        width: width of the values between the layers.
        hidden: inner width of the feed-forward modules.
        layers: number of layers.
        positions: rows of the table of position embeddings.
        kinds: rows of the table of token type embeddings.
    """

    vocabulary: int
    width: int
    hidden: int
    layers: int
    positions: int
    kinds: int

    def shapes(self) -> Shapes:
        """Name and shape of every tensor that the graph reads."""
        width = self.width
        yield WORDS, (self.vocabulary, width)
        yield POSITIONS, (self.positions, width)
        yield KINDS, (self.kinds, width)
        yield from _affine("embeddings.LayerNorm", width)
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            for part in ("query", "key", "value"):
                yield from _affine(f"{layer}.attention.self.{part}", width, width)
            yield from _affine(f"{layer}.attention.output.dense", width, width)
            yield from _affine(f"{layer}.attention.output.LayerNorm", width)
            yield from _affine(f"{layer}.intermediate.dense", self.hidden, width)
            yield from _affine(f"{layer}.output.dense", width, self.hidden)
            yield from _affine(f"{layer}.output.LayerNorm", width)


def _affine(name: str, *shape: int) -> Shapes:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def infer(weights: Mapping[str, NDArray[np.generic]], stated: Stated) -> Sizes:
    """Read the sizes from some shapes, then check all tensors and the entry against the sizes.

    Args:
        weights: tensors [...] under the names of `weights.normalised`.
        stated: what the entry states.

    Raises:
        CheckpointError: a tensor is missing or unknown, or has another shape than the sizes imply;
            the entry states another size.
    """
    words = _shape(weights, WORDS)
    sizes = Sizes(
        vocabulary=words[0],
        width=words[1],
        hidden=_shape(weights, "encoder.layer.0.intermediate.dense.weight")[0],
        layers=_layers(weights),
        positions=_shape(weights, POSITIONS)[0],
        kinds=_shape(weights, KINDS)[0],
    )
    expected = dict(sizes.shapes())
    for name, shape in expected.items():
        if name not in weights:
            raise CheckpointError(f"the checkpoint has no tensor {name}")
        value = weights[name]
        if value.shape != shape or value.dtype.kind != "f":
            raise CheckpointError(f"{name} is {value.dtype} {value.shape}, expected {shape}")
    unknown = sorted(set(weights) - set(expected))
    if unknown:
        raise CheckpointError(f"{len(unknown)} tensors have no place in the model: {unknown[0]}")
    _check_stated(sizes, stated)
    return sizes


def _check_stated(sizes: Sizes, stated: Stated) -> None:
    for name, value in (("vocabulary", sizes.vocabulary), ("dimensions", sizes.width)):
        if getattr(stated, name) != value:
            raise CheckpointError(
                f"decoding.{name} is {getattr(stated, name)} in the entry, {value} in the weights"
            )
    if not 0 < stated.heads <= sizes.width or sizes.width % stated.heads:
        raise CheckpointError(f"{stated.heads} heads do not divide the width {sizes.width}")
    room = sizes.positions - stated.first_position
    if stated.first_position < 0 or not 0 < stated.tokens_max <= room:
        raise CheckpointError(
            f"decoding.tokens_max is {stated.tokens_max} in the entry, the weights have {room}"
            " positions"
        )
    if not 0 < stated.epsilon < 1:
        raise CheckpointError(f"decoding.epsilon is {stated.epsilon}, not between 0 and 1")


def _shape(weights: Mapping[str, NDArray[np.generic]], name: str) -> tuple[int, ...]:
    if name not in weights:
        raise CheckpointError(f"the checkpoint has no tensor {name}")
    shape = weights[name].shape
    if len(shape) != 2:
        raise CheckpointError(f"{name} has {len(shape)} axes, expected 2")
    return shape


def _layers(weights: Mapping[str, NDArray[np.generic]]) -> int:
    found = {int(match[1]) for name in weights if (match := _LAYER.match(name))}
    if not found or found != set(range(len(found))):
        raise CheckpointError(f"the layers of the encoder are not consecutive: {sorted(found)}")
    return len(found)
