"""Rotary tables and the analysis window, computed the same way on every machine.

Source: rotary positions, Su et al. 2021 (arXiv 2104.09864), half-split pairs; the base 5000 and
the float32 angles are upstream's (gigaam/encoder.py, ``RotaryPositionalEmbedding``).
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from glagol.forge.trigonometry import DECIMAL, PI, sine_cosine

Float32 = NDArray[np.float32]


def inverse_frequencies(head_size: int, base: int) -> Float32:
    """Return float32 [head_size / 2]: ``1 / base ** (2 i / head_size)`` in float32 steps."""
    powers = []
    for index in range(head_size // 2):
        exponent = Decimal(float(np.float32(2 * index) / np.float32(head_size)))
        powers.append(np.float32(float(DECIMAL.power(Decimal(base), exponent))))
    return np.array([np.float32(1) / power for power in powers], dtype=np.float32)


def rotary_tables(frames: int, head_size: int, base: int) -> tuple[Float32, Float32]:
    """Return cosine and sine tables, float32 [frames, head_size / 2].

    The angle is the float32 product of position and inverse frequency, as in training.
    """
    positions = np.arange(frames, dtype=np.float32)[:, None]
    angles = positions * inverse_frequencies(head_size, base)[None, :]
    sines, cosines = sine_cosine(angles.astype(np.float64))
    return cosines.astype(np.float32), sines.astype(np.float32)


def hann_window(size: int) -> Float32:
    """Return the periodic Hann window, float32 [size]."""
    angles = np.arange(size, dtype=np.float64) * (float(DECIMAL.multiply(PI, Decimal(2))) / size)
    _, cosines = sine_cosine(angles)
    return (0.5 - 0.5 * cosines).astype(np.float32)
