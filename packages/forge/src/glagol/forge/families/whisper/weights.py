"""One set of tensor names, OpenAI's, for the forms in which weights are published.

CTranslate2's conversion has the same numbers under other names; it stacks query, key and value (or
key and value) in one matrix and gives the key a bias of zeros. A bias of the key adds the same to
all scores of a query, which softmax does not see, so it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints import ctranslate2
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.whisper.sizes import HEAD_SIZE, Sizes

Array = NDArray[np.generic]

SPECIFICATION: Final = ("WhisperSpec", 3)
"""CTranslate2's name and revision of the layout that is read."""

_TIED: Final = "decoder/projection/weight"
_NUMBERS: Final[Mapping[str, int]] = {
    "decoder/activation": 3,  # GELU, exact
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
_LEARNT_NOWHERE: Final = ("decoder/alignment_heads", "decoder/alignment_layer")
"""Settings of other kinds of decoders; a decoder of this kind does not read them."""

_PLACES: Final[Mapping[str, str]] = {
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
}
_MODULES: Final[Mapping[str, str]] = {
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "encoder/layer_norm": "encoder.ln_post",
    "decoder/layer_norm": "decoder.ln",
}
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "self_attention/layer_norm": ("attn_ln",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "attention/layer_norm": ("cross_attn_ln",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
    "ffn/layer_norm": ("mlp_ln",),
}
_FIELDS: Final = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def from_ctranslate2(checkpoint: ctranslate2.Checkpoint) -> dict[str, Array]:
    """Return the tensors of a conversion under OpenAI's names, as views.

    Raises:
        CheckpointError: another kind of model, another setting, a projection of its own, or a
            tensor that has no place in the model.
    """
    kind = (checkpoint.specification, checkpoint.revision)
    if kind != SPECIFICATION:
        raise CheckpointError(f"the model is {kind[0]} {kind[1]}, expected WhisperSpec 3")
    tensors = dict(checkpoint.tensors)
    if tensors.pop(_TIED, None) is not tensors.get("decoder/embeddings/weight"):
        raise CheckpointError("the output projection is not the embedding")
    chosen: dict[str, Array] = {}
    for name, value in tensors.items():
        chosen.update(_renamed(name, value))
    _settings(checkpoint.numbers, chosen)
    return chosen


def agree(stated: Mapping[str, int] | None, sizes: Sizes) -> None:
    """Compare the sizes that a checkpoint of OpenAI's form states (`dims`) with its weights.

    Raises:
        CheckpointError: it states none, or another one.
    """
    derived = {
        "n_mels": sizes.mels,
        "n_audio_ctx": sizes.frames,
        "n_audio_state": sizes.width,
        "n_audio_head": sizes.heads,
        "n_audio_layer": sizes.encoder_layers,
        "n_vocab": sizes.vocabulary,
        "n_text_ctx": sizes.context,
        "n_text_state": sizes.width,
        "n_text_head": sizes.heads,
        "n_text_layer": sizes.decoder_layers,
    }
    if stated is None:
        raise CheckpointError("it has no dims, as OpenAI's checkpoints have")
    for name, value in derived.items():
        if stated.get(name) != value:
            raise CheckpointError(f"{name} = {stated.get(name)} in its dims, weights: {value}")
    if len(stated) != len(derived):
        raise CheckpointError(f"its dims have {len(stated)} sizes, expected {len(derived)}")


def _settings(numbers: Mapping[str, int], tensors: Mapping[str, Array]) -> None:
    """Refuse settings of a model that would be computed in another way."""
    width = tensors.get("encoder.conv1.bias", np.zeros(0)).size
    heads = {f"{part}/num_heads": width // HEAD_SIZE for part in ("encoder", "decoder")}
    expected = {**_NUMBERS, **heads}
    for name, value in numbers.items():
        if name in _LEARNT_NOWHERE:
            continue
        if name not in expected:
            raise CheckpointError(f"the setting {name} = {value} is unknown")
        if value != expected[name]:
            raise CheckpointError(f"{name} = {value}, only {expected[name]} can be built")


def _renamed(name: str, value: Array) -> Iterator[tuple[str, Array]]:
    if name in _PLACES:
        yield _PLACES[name], value
        return
    module, _, kind = name.rpartition("/")
    field = _FIELDS.get(kind)
    if module in _MODULES and field:
        yield f"{_MODULES[module]}.{field}", value
        return
    part, _, rest = module.partition("/layer_")
    number, _, inner = rest.partition("/")
    targets = _PARTS.get(inner)
    if part not in {"encoder", "decoder"} or not number.isdigit() or not targets or not field:
        raise CheckpointError(f"the tensor {name} has no place in the model")
    if not value.ndim or value.shape[0] % len(targets):
        raise CheckpointError(f"{name} of shape {value.shape} is not {len(targets)} matrices")
    rows = value.shape[0] // len(targets)
    for index, target in enumerate(targets):
        if field == "bias" and target.endswith(".key"):
            continue
        view = value[index * rows : (index + 1) * rows]
        yield f"{part}.blocks.{number}.{target}.{field}", view
