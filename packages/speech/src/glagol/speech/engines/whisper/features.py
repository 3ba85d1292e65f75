"""Log-mel front end of Whisper.

Source: `whisper/audio.py` (Hann 400, hop 160, centred with reflection, Slaney mel, log10 of at
least 1e-10, nothing below the maximum - 8, (x + 4) / 4). The maximum is that of the window alone,
so that a result does not depend on what lies around. As in faster-whisper, 160 zeros follow the
samples.

The mel product is done in tiles of 25 frames. A product that small always runs on the calling
thread, so the result does not depend on how many threads the BLAS library has, and a frame's power
does not depend on how long the audio is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from glagol.speech.types import SAMPLE_RATE, Array

__all__ = ["FRAME_RATE", "HOP", "FrontEnd", "filter_bank"]

WIDTH: Final = 400
HOP: Final = 160
"""Samples between frames: 10 ms."""

FRAME_RATE: Final = SAMPLE_RATE // HOP
"""Frames a second."""

TILE: Final = 25
BLOCK: Final = 40 * TILE
"""Frames per block: 10 s."""

FLOOR: Final = np.float32(1e-10)
RANGE: Final = np.float32(8)


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Samples to log-mel frames.

    Attributes:
        window: float32 [400], the analysis window.
        bank: float32 [201, mels], the filter bank.
    """

    window: Array
    bank: Array

    @classmethod
    def of(cls, mels: int) -> FrontEnd:
        """The front end with so many mel bands."""
        angle = 2 * np.pi * np.arange(WIDTH) / WIDTH
        window = (0.5 - 0.5 * np.cos(angle)).astype(np.float32)
        return cls(window, filter_bank(mels))

    def __call__(self, samples: Array) -> Array:
        """Compute log-mel frames.

        Args:
            samples: float32 [N] at 16 kHz.

        Returns:
            float32 [mels, N // 160]; the largest value and the least are at most 2 apart.
        """
        count = len(samples) // HOP
        if not count:
            return np.zeros((self.bank.shape[1], 0), np.float32)
        padded = np.pad(np.pad(samples, (0, HOP)), WIDTH // 2, "reflect")
        frames = sliding_window_view(padded, WIDTH)[::HOP][:count]
        out = np.empty((count, self.bank.shape[1]), np.float32)
        for start in range(0, count, BLOCK):
            out[start : start + BLOCK] = self._block(frames[start : start + BLOCK])
        np.maximum(out, out.max() - RANGE, out=out)
        scaled: Array = (out + np.float32(4)) / np.float32(4)
        return np.ascontiguousarray(scaled.T)

    def _block(self, frames: Array) -> Array:
        """Log10 of the mel powers of at most BLOCK windows [n, 400] -> [n, mels]."""
        count = len(frames)
        tiles = -(-count // TILE)
        spectrum = np.fft.rfft(frames * self.window)
        power = np.zeros((tiles * TILE, self.bank.shape[0]), np.float32)
        np.add(np.square(spectrum.real), np.square(spectrum.imag), out=power[:count])
        mels = np.matmul(power.reshape(tiles, TILE, -1), self.bank).reshape(tiles * TILE, -1)
        logarithms: Array = np.log10(np.maximum(mels[:count], FLOOR))
        return logarithms


def filter_bank(mels: int) -> Array:
    """Slaney's mel filters, each of area 1: float32 [201, mels], 0 to 8 kHz.

    Source: M. Slaney, Auditory Toolbox (1998): linear up to 1 kHz, logarithmic above.
    """
    frequencies = np.arange(WIDTH // 2 + 1) * SAMPLE_RATE / WIDTH
    step = np.log(6.4) / 27
    top = 15 + np.log(SAMPLE_RATE / 2 / 1000) / step
    marks = np.linspace(0, top, mels + 2)
    edges = np.where(marks < 15, marks * 200 / 3, 1000 * np.exp((marks - 15) * step))
    widths = np.diff(edges)
    ramps = edges[:, np.newaxis] - frequencies
    rising, falling = -ramps[:-2] / widths[:-1, np.newaxis], ramps[2:] / widths[1:, np.newaxis]
    filters = np.maximum(0, np.minimum(rising, falling))
    bank: Array = (filters * (2 / (edges[2:] - edges[:-2]))[:, np.newaxis]).T.astype(np.float32)
    return np.ascontiguousarray(bank)
