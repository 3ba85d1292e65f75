"""Kaldi's log-mel energies, as the embedding network was trained on them.

Source: Kaldi `feat/feature-fbank.cc` and `feature-window.cc` with 80 bins, no dither, Povey window.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from glagol.speech.speakers.frames import Numbers
from glagol.speech.types import SAMPLE_RATE

__all__ = ["HOP", "WINDOW", "fbank"]

WINDOW: Final = 400
HOP: Final = 160
FFT: Final = 512
MELS: Final = 80
LOWEST_HZ: Final = 20.0
PREEMPHASIS: Final = 0.97
SCALE: Final = 32768.0
FLOOR: Final = float(np.finfo(np.float32).eps)


def fbank(samples: Numbers) -> Numbers:
    """Log-mel energies without their mean over time.

    Args:
        samples: float32 [n] in [-1, 1] at 16 kHz, at least 400.

    Returns:
        float32 [1 + (n - 400) // 160, 80].
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP].astype(np.float64)
    frames = frames * SCALE
    frames -= frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - PREEMPHASIS * before) * _POVEY
    power = np.square(np.abs(np.fft.rfft(frames, FFT)))
    logs = np.log(np.maximum(power @ _BANK, FLOOR))
    centred: Numbers = (logs - logs.mean(axis=0)).astype(np.float32)
    return centred


def _mel(hertz: Numbers) -> Numbers:
    scaled: Numbers = 1127.0 * np.log(1.0 + hertz / 700.0)
    return scaled


def _bank() -> Numbers:
    """Triangles on the mel scale, float64 [257, 80]; the highest bin has no weight."""
    lowest, highest = _mel(np.array([LOWEST_HZ, SAMPLE_RATE / 2]))
    edges = np.linspace(lowest, highest, MELS + 2)
    bins = _mel(np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT)[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    bank: Numbers = np.maximum(0.0, np.minimum(rising, falling))
    bank[-1] = 0.0
    return bank


_BANK: Final = _bank()
_POVEY: Final = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))) ** 0.85
