"""The settings of a published checkpoint, in the one form that the builder reads.

They stand in one of three places: in ``config.json`` beside the tensors (Hugging Face, under
``cfg.model.cfg``), in the checkpoint itself (upstream's ``cfg``), or nowhere. Then shapes tell what
they can and the constants of GigaAM-v3 the rest; settings of an encoder of v3's width must agree
with these, since no shape would show that they do not. Settings that would be built
wrongly are refused: another front end, a second layer of the predictor, normalisation by batch.

Source: the settings of the four v3 models, as k2-fsa/sherpa-onnx quotes them
(scripts/nemo/GigaAM/export-onnx-{ctc,rnnt}-v3{,-punct}.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.gigaam.weights import MEL, WINDOW

Weights = Mapping[str, NDArray[np.generic]]

FRONT_END: Final[Mapping[str, object]] = {
    "sample_rate": 16_000,
    "features": 64,
    "win_length": 320,
    "hop_length": 160,
    "n_fft": 320,
    "center": False,
    "mel_scale": "htk",
    "mel_norm": None,
}
"""Of v3. The earlier models' front end has the same shapes and other numbers."""

ENCODER: Final[Mapping[str, object]] = {
    "d_model": 768,
    "n_heads": 16,
    "pos_emb_max_len": 5000,
    "rope_base": 5000,
    "subsampling_factor": 4,
}
"""What of v3's encoder no shape tells, and the width that shows that it is v3's."""

LETTERS: Final = (" ", *"абвгдежзийклмнопрстуфхцчшщъыьэюя")
"""The classes of v3's character models, the blank not among them: 33, without ё."""

_COUNTS: Final = {"n_heads": 256, "pos_emb_max_len": 50_000, "rope_base": 1_000_000}
"""Settings of the encoder that no shape tells, and the largest that is taken for one."""

_PIECES_MAX: Final = 100_000

_VECTORS = re.compile(r".*(\.bias(_[ih]h_l0)?|norm\w*\.weight|window)")
_CUBES = re.compile(r".*(conv\.\d|conv\w*[12]?|decoder_layers\.0)\.weight")
_NAMES = re.compile(
    r"preprocessor\.featurizer\.0\.(spectrogram\.window|mel_scale\.fb)"
    r"|encoder\.pos_enc\.pe"
    r"|encoder\.pre_encode\.conv\.[02]\.(weight|bias)"
    r"|encoder\.layers\.\d+\.(norm_(feed_forward[12]|self_att|conv|out)"
    r"|feed_forward[12]\.linear[12]|self_attn\.linear_(q|k|v|out)"
    r"|conv\.(pointwise_conv[12]|depthwise_conv|batch_norm))\.(weight|bias)"
    r"|head\.decoder_layers\.0\.(weight|bias)"
    r"|head\.decoder\.(embed\.weight|lstm\.(weight|bias)_(ih|hh)_l0)"
    r"|head\.joint\.(pred|enc|joint_net\.1)\.(weight|bias)"
)


def published(
    given: Mapping[str, Any] | None, own: Mapping[str, Any] | None, weights: Weights
) -> dict[str, Any]:
    """Return ``{"encoder": ..., "vocabulary": ...}`` for the tensors of a published checkpoint.

    ``vocabulary`` is absent where a tokenizer has to say it.

    Args:
        given: the parsed ``config.json``, if there is one.
        own: the settings inside the checkpoint, if there are some; these win.
        weights: its tensors by name, of any shape [...], perhaps with the prefix ``model.``.

    Raises:
        CheckpointError: tensors or settings are not those of a model that can be built.
    """
    plain = {name.removeprefix("model."): name for name in weights}
    strange = sorted(name for name in plain if not _NAMES.fullmatch(name))
    if strange:
        raise CheckpointError(f"{len(strange)} tensors have no place in the model: {strange[0]}")
    for name in (WINDOW, MEL):
        if name not in plain:
            raise CheckpointError(f"the checkpoint has no tensor {name}")
    for name, original in plain.items():
        _form(name, weights[original])
    sections = _sections(given) if own is None else own
    _same("preprocessor", _section(sections, "preprocessor"), FRONT_END)
    encoder = dict(_section(sections, "encoder"))
    width = _width(plain, weights)
    if width == ENCODER["d_model"]:
        _same("encoder", encoder, ENCODER)
        encoder = {**ENCODER, **encoder}
    elif "n_heads" not in encoder:
        raise CheckpointError(f"no settings, and an encoder of width {width} is not v3's")
    for key, most in _COUNTS.items():
        value = encoder.get(key, 1)
        if type(value) not in (int, float) or not 1 <= value <= most or value % 1:
            raise CheckpointError(f"encoder.{key} = {value!r} is no count")
    symbols = _section(sections, "decoding").get("vocabulary")
    if symbols is None and _classes(plain, weights) == len(LETTERS) + 1:
        symbols = list(LETTERS)
    return {"encoder": encoder} | ({} if symbols is None else {"vocabulary": _symbols(symbols)})


def _form(name: str, value: NDArray[np.generic]) -> None:
    """Refuse a tensor whose rank or type its name does not have."""
    rank = 1 if _VECTORS.fullmatch(name) else 3 if _CUBES.fullmatch(name) else 2
    if name == "encoder.pos_enc.pe":
        return  # computed anew
    if value.ndim != rank or value.dtype.kind != "f":
        raise CheckpointError(
            f"{name} is {value.dtype} of {value.ndim} axes, expected floating point of {rank}"
        )


def _symbols(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _PIECES_MAX:
        raise CheckpointError("the vocabulary in the settings is no list of symbols")
    if not all(isinstance(symbol, str) for symbol in value):
        raise CheckpointError("a symbol of the vocabulary in the settings is no text")
    return value


def _sections(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Of ``config.json`` what lies under ``cfg.model.cfg``, or all of it."""
    nested: Any = config or {}
    for key in ("cfg", "model", "cfg"):
        nested = nested.get(key) if isinstance(nested, Mapping) else None
    return nested if isinstance(nested, Mapping) else config or {}


def _section(sections: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = sections.get(name) or {}
    if not isinstance(section, Mapping):
        raise CheckpointError(f"{name} in the settings is no section")
    return section


def _same(place: str, section: Mapping[str, Any], expected: Mapping[str, object]) -> None:
    for key, value in expected.items():
        if section.get(key, value) != value:
            raise CheckpointError(f"{place}.{key} = {section[key]!r}, only {value!r} can be built")


def _width(plain: Mapping[str, str], weights: Weights) -> int | None:
    first = plain.get("encoder.pre_encode.conv.0.weight")
    return weights[first].shape[0] if first else None


def _classes(plain: Mapping[str, str], weights: Weights) -> int | None:
    for name in ("head.decoder_layers.0.bias", "head.joint.joint_net.1.bias"):
        if name in plain:
            return int(weights[plain[name]].shape[0])
    return None
