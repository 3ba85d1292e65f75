"""The sizes of a model, all read from the shapes of its weights.

Side files beside published weights are known to be wrong (80 mel bands for a model with 128, ids of
the older vocabulary), so none of them is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError

Precision = Literal["fp32", "int8", "fp16"]
Weights = Mapping[str, NDArray[np.generic]]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

HEAD_SIZE: Final = 64
"""Width of an attention head, in every size of the family."""

TAPS: Final = 3
"""Of both convolutions."""

ENGLISH_VOCABULARY: Final = 51_864
VOCABULARIES: Final[Mapping[int, int]] = {
    ENGLISH_VOCABULARY: 50_256,
    51_865: 50_257,
    51_866: 50_257,
}
"""Number of tokens to the number of those that are text; which ids the others have follows."""

_LAYER = re.compile(r"(encoder|decoder)\.blocks\.(\d{1,3})\.")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of encoder and decoder.

    Attributes:
        mels: mel bands of the input.
        width: of the values between the layers; a multiple of 64.
        hidden: inner width of the feed-forward modules.
        encoder_layers: how many.
        decoder_layers: how many.
        frames: encoder frames of the longest input, 20 ms each.
        context: tokens of the longest sequence.
        vocabulary: tokens that there are.
    """

    mels: int
    width: int
    hidden: int
    encoder_layers: int
    decoder_layers: int
    frames: int
    context: int
    vocabulary: int

    @property
    def heads(self) -> int:
        """Attention heads of every layer."""
        return self.width // HEAD_SIZE

    @property
    def texts(self) -> int:
        """Tokens that are text: ids 0 to this, exclusive."""
        return VOCABULARIES[self.vocabulary]

    def shapes(self) -> Shapes:
        """Name and shape of every tensor that the model has."""
        width = self.width
        yield from _affine("encoder.conv1", width, self.mels, TAPS)
        yield from _affine("encoder.conv2", width, width, TAPS)
        yield "encoder.positional_embedding", (self.frames, width)
        for number in range(self.encoder_layers):
            yield from self._layer(f"encoder.blocks.{number}", ("attn",))
        yield from _affine("encoder.ln_post", width)
        yield "decoder.token_embedding.weight", (self.vocabulary, width)
        yield "decoder.positional_embedding", (self.context, width)
        for number in range(self.decoder_layers):
            yield from self._layer(f"decoder.blocks.{number}", ("attn", "cross_attn"))
        yield from _affine("decoder.ln", width)

    def _layer(self, prefix: str, attentions: tuple[str, ...]) -> Shapes:
        width = self.width
        for name in attentions:
            for part in ("query", "value", "out"):
                yield from _affine(f"{prefix}.{name}.{part}", width, width)
            yield f"{prefix}.{name}.key.weight", (width, width)
            yield from _affine(f"{prefix}.{name}_ln", width)
        yield from _affine(f"{prefix}.mlp.0", self.hidden, width)
        yield from _affine(f"{prefix}.mlp.2", width, self.hidden)
        yield from _affine(f"{prefix}.mlp_ln", width)


def _affine(name: str, *shape: int) -> Shapes:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def infer(weights: Weights) -> Sizes:
    """Read the sizes from the shapes of the weights and check every tensor against them.

    Args:
        weights: tensors under normalised names (``weights.normalise``).

    Raises:
        CheckpointError: a tensor is missing, has another shape than the others imply, is no
            floating point, or has no place in the model; the vocabulary is of unknown size.
    """
    first = _shape(weights, "encoder.conv1.weight", 3)
    tokens = _shape(weights, "decoder.token_embedding.weight", 2)
    sizes = Sizes(
        mels=first[1],
        width=first[0],
        hidden=_shape(weights, "encoder.blocks.0.mlp.0.weight", 2)[0],
        encoder_layers=_layers(weights, "encoder"),
        decoder_layers=_layers(weights, "decoder"),
        frames=_shape(weights, "encoder.positional_embedding", 2)[0],
        context=_shape(weights, "decoder.positional_embedding", 2)[0],
        vocabulary=tokens[0],
    )
    if sizes.width % HEAD_SIZE or not sizes.width:
        raise CheckpointError(f"width {sizes.width} is no multiple of the head size {HEAD_SIZE}")
    if sizes.vocabulary not in VOCABULARIES:
        known = ", ".join(map(str, VOCABULARIES))
        raise CheckpointError(f"a vocabulary of {sizes.vocabulary} tokens; known are {known}")
    expected = dict(sizes.shapes())
    for name, shape in expected.items():
        found = _shape(weights, name, len(shape))
        if found != shape:
            raise CheckpointError(f"{name} has shape {found}, expected {shape}")
    strange = sorted(set(weights) - set(expected))
    if strange:
        raise CheckpointError(f"{len(strange)} tensors have no place in the model: {strange[0]}")
    return sizes


def _shape(weights: Weights, name: str, rank: int) -> tuple[int, ...]:
    if name not in weights:
        raise CheckpointError(f"the checkpoint has no tensor {name}")
    value = weights[name]
    if value.ndim != rank or value.dtype.kind != "f":
        raise CheckpointError(
            f"{name} is {value.dtype} of {value.ndim} axes, expected floating point of {rank}"
        )
    return value.shape


def _layers(weights: Weights, part: str) -> int:
    found = (_LAYER.match(name) for name in weights)
    numbers = {int(match[2]) for match in found if match and match[1] == part}
    if not numbers or numbers != set(range(len(numbers))):
        raise CheckpointError(f"layers of the {part} are not consecutive: {sorted(numbers)}")
    return len(numbers)
