"""Weights on disk: the warm start, the exact fold of the normalisation, the shipped file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glagol.forge.nano.sizes import FEATURE_MEAN, FEATURE_STD
from glagol.forge.nano.speech.features import mel_bank, window

FIRST = "encoder.pre_encode.conv.0."
WINDOW_KEY = "preprocessor.featurizer.0.spectrogram.window"
MEL_KEY = "preprocessor.featurizer.0.mel_scale.fb"
State = dict[str, Tensor]


def fold(state: State, mean: float = FEATURE_MEAN, std: float = FEATURE_STD) -> State:
    """Return weights that take raw features as the given ones take ``(x - mean) / std``.

    Exact because the normalisation comes after the padding: it is affine in every tap.
    """
    weight, bias = state[FIRST + "weight"].double(), state[FIRST + "bias"].double()
    shift = weight.sum(dim=(1, 2)) * (mean / std)
    folded = {FIRST + "weight": (weight / std).float(), FIRST + "bias": (bias - shift).float()}
    return {**state, **folded}


def unfold(state: State, mean: float = FEATURE_MEAN, std: float = FEATURE_STD) -> State:
    """Undo ``fold``."""
    weight, bias = state[FIRST + "weight"].double() * std, state[FIRST + "bias"].double()
    shift = weight.sum(dim=(1, 2)) * (mean / std)
    return {
        **state,
        FIRST + "weight": weight.float(),
        FIRST + "bias": (bias + shift).float(),
    }


def two_heads(ctc: State, rnnt: State) -> State:
    """Join a CTC model's and an RNN-T head's weights (``head.*`` each) under two prefixes."""
    encoder = {key: value for key, value in ctc.items() if key.startswith("encoder.")}
    heads = {
        f"{prefix}.{key.removeprefix('head.')}": value
        for prefix, state in (("ctc", ctc), ("rnnt", rnnt))
        for key, value in state.items()
        if key.startswith("head.")
    }
    return encoder | heads


def warm_start(folder: Path) -> State:
    """Return weights to start from, unfolded. Raises OSError when the folder has none.

    The folder holds either ``weights.safetensors`` as exported, or the two files
    ``encoder-ctc.safetensors`` and ``rnnt-head.safetensors``, all with the fold applied.
    """
    exported = folder / "weights.safetensors"
    if exported.exists():
        state = {key: value.float() for key, value in load_file(exported).items()}
        return unfold({key: state[key] for key in state if not key.startswith("preprocessor.")})
    encoder = load_file(folder / "encoder-ctc.safetensors")
    return unfold(two_heads(encoder, load_file(folder / "rnnt-head.safetensors")))


def export(state: State, path: Path) -> str:
    """Write trained weights folded, in fp16, with the fp32 front end; return the SHA-256."""
    folded = {key: value.half().contiguous() for key, value in fold(state).items()}
    front = {WINDOW_KEY: torch.from_numpy(window()), MEL_KEY: torch.from_numpy(mel_bank())}
    everything = dict(sorted({**folded, **front}.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(everything, path, metadata={"format": "pt"})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_exported(path: Path) -> State:
    """Return the shipped model weights as float32, without the front end's two arrays."""
    return {
        key: value.float()
        for key, value in load_file(path).items()
        if not key.startswith("preprocessor.")
    }
