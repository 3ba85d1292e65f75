"""Loads the published implementation from a checkout, with stand-ins for what it need not have.

Only ``gigaam.encoder``, ``.decoder``, ``.preprocess`` and ``.utils`` are imported, so hydra and
omegaconf are not needed; torchaudio's one class and soundfile are replaced by stand-ins here.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from glagol.forge.families.gigaam.architecture import Architecture
from glagol.forge.families.gigaam.mel import mel_matrix


class _Spectrogram(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(size))


class _MelScale(torch.nn.Module):
    def __init__(self, bins: int, mels: int, rate: int) -> None:
        super().__init__()
        self.register_buffer("fb", torch.from_numpy(mel_matrix(bins, mels, rate)))


class _MelSpectrogram(torch.nn.Module):
    """Stands in for ``torchaudio.transforms.MelSpectrogram``: same buffers, power 2, HTK."""

    def __init__(
        self,
        sample_rate: int,
        n_mels: int,
        win_length: int,
        hop_length: int,
        n_fft: int,
        *,
        center: bool,
    ) -> None:
        super().__init__()
        self.spectrogram = _Spectrogram(win_length)
        self.mel_scale = _MelScale(n_fft // 2 + 1, n_mels, sample_rate)
        self.hop, self.size, self.center = hop_length, n_fft, center

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Map a waveform [..., N] to mel energies [..., n_mels, L]."""
        spectrum = torch.stft(
            wave,
            self.size,
            self.hop,
            window=self.spectrogram.window,
            center=self.center,
            return_complex=True,
        )
        power = spectrum.abs().pow(2.0)
        return torch.matmul(power.transpose(-1, -2), self.mel_scale.fb).transpose(-1, -2)


def load(checkout: Path) -> dict[str, Any]:
    """Return the modules encoder, decoder, preprocess and utils of the checkout."""
    package = ModuleType("gigaam")
    package.__path__ = [str(checkout / "gigaam")]
    audio, transforms = ModuleType("torchaudio"), ModuleType("torchaudio.transforms")
    vars(transforms)["MelSpectrogram"] = _MelSpectrogram
    vars(audio)["transforms"] = transforms
    stand_ins = {
        "gigaam": package,
        "torchaudio": audio,
        "torchaudio.transforms": transforms,
        "soundfile": ModuleType("soundfile"),
    }
    sys.modules.update(stand_ins)
    names = ("encoder", "decoder", "preprocess", "utils")
    return {name: importlib.import_module(f"gigaam.{name}") for name in names}


def state(weights: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def encoder(
    modules: dict[str, Any], sizes: Architecture, weights: dict[str, np.ndarray]
) -> torch.nn.Module:
    """Return the published encoder of these sizes with these weights, strictly loaded."""
    module = modules["encoder"].ConformerEncoder(
        feat_in=sizes.features,
        n_layers=sizes.layers,
        d_model=sizes.width,
        subsampling="conv1d",
        subs_kernel_size=sizes.subsampling_kernel,
        subsampling_factor=4,
        ff_expansion_factor=sizes.hidden // sizes.width,
        self_attention_model="rotary",
        n_heads=sizes.heads,
        pos_emb_max_len=sizes.rope_base,
        conv_norm_type="layer_norm",
        conv_kernel_size=sizes.kernel,
    )
    module.load_state_dict(state(weights, "encoder."), strict=True)
    return module.eval()
