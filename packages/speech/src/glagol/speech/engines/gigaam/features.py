"""Log-mel front end of GigaAM-v3.

Source: `gigaam/preprocess.py` (torchaudio MelSpectrogram, HTK scale, no norm, power 2, center off)
and `log(clamp(x, 1e-9, 1e9))`. Window and mel matrix come with the model: they are bfloat16-rounded
there, so recomputing them would not give the same features.

The mel product is done in tiles of 25 frames. A product that small always runs on the calling
thread, so the result does not depend on how many threads the BLAS library has, and a frame's value
does not depend on how long the audio is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from glagol.speech.types import Array

HOP = 160
"""Samples between frames: 10 ms."""

MELS = 64
FLOOR, CEILING = np.float32(1e-9), np.float32(1e9)
TILE = 25
BLOCK = 40 * TILE
"""Frames per block: 10 s, about 2 MB of working memory."""


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Samples to log-mel frames.

    Attributes:
        window: float32 [n_fft], the analysis window; n_fft is 320 for v3.
        mel: float32 [n_fft // 2 + 1, 64], the filter bank.
    """

    window: Array
    mel: Array

    def frame_count(self, samples: int) -> int:
        """Number of frames for that many samples: (N - n_fft) // 160 + 1, or 0 below n_fft."""
        return max(0, (samples - len(self.window)) // HOP + 1)

    def __call__(self, samples: Array) -> Array:
        """Compute log-mel frames.

        Args:
            samples: float32 [N] at 16 kHz.

        Returns:
            float32 [L, 64] with L = `frame_count(N)`, values in [ln 1e-9, ln 1e9].
        """
        total = self.frame_count(len(samples))
        out = np.empty((total, self.mel.shape[1]), np.float32)
        if total:
            frames = sliding_window_view(samples, len(self.window))[::HOP]
            for start in range(0, total, BLOCK):
                out[start : start + BLOCK] = self._block(frames[start : min(start + BLOCK, total)])
        return out

    def _block(self, frames: Array) -> Array:
        """Log-mel of at most BLOCK windows [n, n_fft] -> [n, mels]."""
        count = len(frames)
        tiles = -(-count // TILE)
        spectrum = np.fft.rfft(frames * self.window)
        power = np.zeros((tiles * TILE, self.mel.shape[0]), np.float32)
        np.add(np.square(spectrum.real), np.square(spectrum.imag), out=power[:count])
        mels = np.matmul(power.reshape(tiles, TILE, -1), self.mel).reshape(tiles * TILE, -1)[:count]
        clipped = np.clip(mels, FLOOR, CEILING)
        logarithms: Array = np.log(clipped, out=clipped)
        return logarithms
