"""The small numpy part of an artifact: front-end buffers and the RNN-T predictor and joint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError, write_safetensors
from glagol.forge.families.gigaam.architecture import Architecture
from glagol.forge.families.gigaam.mel import mel_matrix
from glagol.forge.families.gigaam.rope import hann_window
from glagol.forge.families.gigaam.weights import MEL, WINDOW

Float32 = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.generic]]

SAMPLE_RATE = 16_000
WINDOW_SIZE = 320
"""Samples of the window and of the Fourier transform (20 ms)."""

_RNNT = {
    "embed": "head.decoder.embed.weight",
    "lstm.weight_ih": "head.decoder.lstm.weight_ih_l0",
    "lstm.weight_hh": "head.decoder.lstm.weight_hh_l0",
    "joint.pred.weight": "head.joint.pred.weight",
    "joint.pred.bias": "head.joint.pred.bias",
    "joint.out.weight": "head.joint.joint_net.1.weight",
    "joint.out.bias": "head.joint.joint_net.1.bias",
}


def head_tensors(sizes: Architecture, weights: Weights) -> dict[str, Float32]:
    """Return the tensors of ``head.safetensors`` by name.

    ``window`` [320] and ``mel`` [161, features] always; for RNN-T also ``embed`` [C, P],
    ``lstm.weight_ih`` and ``lstm.weight_hh`` [4 P, P] (gates i f g o), ``lstm.bias`` [4 P] (both
    biases summed), ``joint.pred.*`` [J, P] and ``joint.out.*`` [C, J].

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape.
    """
    bins = WINDOW_SIZE // 2 + 1
    tensors = {
        "window": weights[WINDOW] if WINDOW in weights else hann_window(WINDOW_SIZE),
        "mel": weights[MEL] if MEL in weights else mel_matrix(bins, sizes.features, SAMPLE_RATE),
    }
    if sizes.head == "rnnt":
        try:
            tensors |= {name: weights[key] for name, key in _RNNT.items()}
            biases = [weights[f"head.decoder.lstm.bias_{part}_l0"] for part in ("ih", "hh")]
        except KeyError as error:
            raise CheckpointError(f"the checkpoint has no tensor {error.args[0]}") from error
        tensors["lstm.bias"] = np.add(*(np.asarray(item, dtype=np.float32) for item in biases))
    single = {name: np.asarray(value, dtype=np.float32) for name, value in tensors.items()}
    _check(sizes, single)
    return single


def _check(sizes: Architecture, tensors: Mapping[str, Float32]) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "window": (WINDOW_SIZE,),
        "mel": (WINDOW_SIZE // 2 + 1, sizes.features),
    }
    if sizes.head == "rnnt":
        state = tensors["embed"].shape[1]
        expected |= {
            "embed": (sizes.classes, state),
            "lstm.weight_ih": (4 * state, state),
            "lstm.weight_hh": (4 * state, state),
            "lstm.bias": (4 * state,),
            "joint.pred.weight": (sizes.joint, state),
            "joint.pred.bias": (sizes.joint,),
            "joint.out.weight": (sizes.classes, sizes.joint),
            "joint.out.bias": (sizes.classes,),
        }
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise CheckpointError(f"{name} has shape {tensors[name].shape}, expected {shape}")


def write_head(sizes: Architecture, weights: Weights) -> bytes:
    """Return the bytes of ``head.safetensors``, all float32. Raises CheckpointError."""
    return write_safetensors(head_tensors(sizes, weights))
