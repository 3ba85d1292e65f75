"""Distortions of training speech: pace, rooms, level, noise, band limits, formants, masks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from glagol.forge.nano.speech.features import BINS, MELS, SAMPLE_RATE

Wave = NDArray[np.float32]
"""Samples in -1..1 at 16 kHz, shape [N]."""

WARPS = (0.84, 0.88, 0.92, 0.96, 1.0, 1.04, 1.08, 1.13, 1.18)
_BANDS = ((0.0, 0.45), (0.035, 0.43), (0.0, 0.6), (0.02, 0.8), (0.035, 0.5))
"""Pass bands as shares of 8 kHz: telephones and dull microphones."""


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def root_mean_square(wave: Wave) -> float:
    """Return the level of a wave [n], 1.0 being full scale."""
    return float(np.sqrt(np.mean(np.square(wave)))) + 1e-6


def change_pace(wave: Wave, draw: np.random.Generator) -> Wave:
    """Resample [n] by 0.9 to 1.12: pace, pitch and formants move together."""
    rate = draw.uniform(0.9, 1.12)
    positions = np.arange(int(len(wave) / rate)) * rate
    changed: Wave = np.interp(positions, np.arange(len(wave)), wave).astype(np.float32)
    return changed


def reverberate(wave: Wave, draw: np.random.Generator) -> Wave:
    """Convolve [n] with decaying noise, a room of 0.08 to 0.5 s."""
    size = int(SAMPLE_RATE * draw.uniform(0.08, 0.5))
    decay = np.exp(-6.9 * np.arange(size) / size) * draw.uniform(0.02, 0.12)
    response = draw.standard_normal(size) * decay
    response[0] = 1.0
    length = _power_of_two(len(wave) + size)
    product = np.fft.rfft(wave, length) * np.fft.rfft(response, length)
    return np.fft.irfft(product, length)[: len(wave)].astype(np.float32)


def coloured_noise(size: int, draw: np.random.Generator) -> Wave:
    """Return noise [n] of unit level; its spectrum falls as a random power of frequency."""
    length = _power_of_two(size)
    bins = np.arange(length // 2 + 1, dtype=np.float64)
    bins[0] = 1.0
    phases = draw.standard_normal(len(bins)) + 1j * draw.standard_normal(len(bins))
    spectrum = phases * bins ** -draw.choice((0.0, 0.25, 0.5, 0.75, 1.0))
    wave = np.fft.irfft(spectrum)[:size]
    levelled: Wave = (wave / (wave.std() + 1e-9)).astype(np.float32)
    return levelled


def distort(wave: Wave, other: Wave, draw: np.random.Generator) -> Wave:
    """Return a distorted copy [n]; ``other`` is a voice to mix in behind it."""
    if draw.random() < 0.4:
        wave = change_pace(wave, draw)
    if draw.random() < 0.25:
        wave = reverberate(wave, draw)
    wave = wave * (10 ** (draw.uniform(-36, -14) / 20) / root_mean_square(wave))
    level = root_mean_square(wave)
    kind = draw.random()
    if kind < 0.45:
        noise = coloured_noise(len(wave), draw) * level * 10 ** (-draw.uniform(4, 30) / 20)
    elif kind < 0.53:
        voice = np.resize(other, len(wave))
        noise = voice * level / root_mean_square(voice) * 10 ** (-draw.uniform(10, 25) / 20)
    else:
        hiss = 10 ** (draw.uniform(-95, -65) / 20)
        noise = draw.standard_normal(len(wave), dtype=np.float32) * hiss
    return np.clip(wave + noise, -1, 1).astype(np.float32)


def shape_spectra(spectra: Tensor, draw: np.random.Generator) -> None:
    """Limit the band of some power spectra [B, 161, L] and tilt others, in place."""
    share = torch.linspace(0, 1, BINS)
    for row in range(spectra.size(0)):
        if draw.random() < 0.3:
            low, high = _BANDS[draw.integers(len(_BANDS))]
            gain = torch.sigmoid((high - share) * 80)
            if low:
                gain = gain * torch.sigmoid((share - low) * 150)
            spectra[row] *= (gain.square() + 1e-7)[:, None]
        if draw.random() < 0.5:
            knots = torch.from_numpy(draw.standard_normal((1, 1, 6), dtype=np.float32)) * 4
            curve = functional.interpolate(knots, BINS, mode="linear", align_corners=True)
            spectra[row] *= (10 ** (curve[0, 0].clamp(-10, 10) / 10))[:, None]


def draw_warp(draw: np.random.Generator) -> float:
    """Return a formant warp: none in about half of the draws."""
    return float(draw.choice(WARPS)) if draw.random() < 0.6 else 1.0


def mask(features: Tensor, lengths: list[int], draw: np.random.Generator) -> None:
    """Hide bands and stretches of log-mel features [B, 64, L] behind each clip's mean, in place."""
    for clip, length in zip(features, lengths, strict=True):
        mean = clip[:, :length].mean()
        for _ in range(2):
            width = int(draw.integers(0, 11))
            start = int(draw.integers(0, MELS - width + 1))
            clip[start : start + width] = mean
        for _ in range(max(1, length // 150)):
            width = int(draw.integers(0, 15))
            start = int(draw.integers(0, max(0, length - width) + 1))
            clip[:, start : start + width] = mean
