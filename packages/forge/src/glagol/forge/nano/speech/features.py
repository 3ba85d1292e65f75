"""The log-mel front end of the family, in torch: what training and evaluation feed the model."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16000
FRAME = 320
HOP = 160
BINS = FRAME // 2 + 1
MELS = 64
FLOOR, CEILING = 1e-9, 1e9
_WARP_EDGE = 4800.0


def window() -> NDArray[np.float32]:
    """Return the periodic Hann window, float32 [320]."""
    phase = 2.0 * np.pi * np.arange(FRAME) / FRAME
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def _warped(frequencies: NDArray[np.float64], warp: float) -> NDArray[np.float64]:
    """Stretch frequencies (Hz) linearly up to an edge, and back to the end of the band."""
    nyquist = SAMPLE_RATE / 2
    edge = _WARP_EDGE / max(warp, 1.0)
    slope = (nyquist - edge * warp) / (nyquist - edge)
    return np.where(
        frequencies <= edge, frequencies * warp, nyquist - slope * (nyquist - frequencies)
    )


def mel_bank(warp: float = 1.0) -> NDArray[np.float32]:
    """Return HTK mel triangles without norm, float32 [161, 64].

    A ``warp`` other than 1 moves the speaker's formants (vocal tract length perturbation).
    """
    nyquist = SAMPLE_RATE / 2
    frequencies = np.linspace(0.0, nyquist, BINS)
    if warp != 1.0:
        frequencies = _warped(frequencies, warp)
    top = 2595.0 * np.log10(1.0 + nyquist / 700.0)
    points = 700.0 * (10.0 ** (np.linspace(0.0, top, MELS + 2) / 2595.0) - 1.0)
    widths = np.diff(points)
    slopes = points[None, :] - frequencies[:, None]
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@functools.cache
def _window() -> Tensor:
    return torch.from_numpy(window())


@functools.cache
def _bank(warp: float) -> Tensor:
    return torch.from_numpy(mel_bank(warp))


def frame_count(samples: Tensor) -> Tensor:
    """Return the numbers of mel frames [B] of clips of so many samples [B], at least 320 each."""
    return torch.div(samples - FRAME, HOP, rounding_mode="floor") + 1


def power(waveforms: Tensor) -> Tensor:
    """Map waveforms [B, N] in -1..1 to power spectra [B, 161, L]."""
    spectrum = torch.stft(
        waveforms, FRAME, HOP, FRAME, _window(), center=False, return_complex=True
    )
    return spectrum.abs().square()


def log_mel(spectra: Tensor, warp: float = 1.0) -> Tensor:
    """Map power spectra [B, 161, L] to natural-log mel energies [B, 64, L]."""
    return torch.log((_bank(warp).T @ spectra).clamp(FLOOR, CEILING))
