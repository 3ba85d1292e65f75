"""What the upstream goldens were made of: sizes, seeds, lengths and a waveform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forge import seeded
from glagol.forge.families.gigaam.architecture import Architecture


@dataclass(frozen=True)
class Case:
    """One encoder with a head, and one batch of clips of unequal lengths (mel frames)."""

    name: str
    sizes: Architecture
    seed: int
    lengths: tuple[int, ...]

    def features(self) -> np.ndarray:
        """Return log-mel like input [B, L, 64], junk behind the end of short clips included."""
        return seeded.features(
            max(self.lengths), len(self.lengths), self.sizes.features, self.seed + 1
        )


CASES = (
    Case("ctc", seeded.architecture(), 11, (203, 118, 57, 9, 1)),
    Case(
        "rnnt",
        seeded.architecture(
            width=64, heads=2, hidden=128, kernel=7, layers=3, head="rnnt", classes=40, joint=24
        ),
        23,
        (160, 159, 158, 157, 30),
    ),
)


def waveform() -> np.ndarray:
    """Return one second at 16 kHz, float32: two tones in noise, then 50 ms of digital silence."""
    time = np.arange(16000) / 16000
    noise = np.random.RandomState(5).random_sample(16000) - 0.5
    wave = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 2500 * time**2)
    wave = wave + 0.02 * noise
    wave[-800:] = 0
    return wave.astype(np.float32)
