"""Compute the HTK mel matrix, for checkpoints that do not contain one.

Published checkpoints contain both buffers of the front end, rounded to bfloat16, and these are used
unchanged. This matrix is not rounded; it is for models that were trained with such a matrix.

Source: HTK mel scale, triangles without area normalisation, as in torchaudio's
``melscale_fbanks(norm=None, mel_scale="htk")``; computed with exactly rounded decimals.
"""

from __future__ import annotations

from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

_DECIMAL = Context(prec=30)
_BREAK, _SCALE = Decimal(700), Decimal(2595)


def _mel(hertz: int) -> Decimal:
    ratio = _DECIMAL.add(1, _DECIMAL.divide(Decimal(hertz), _BREAK))
    return _DECIMAL.multiply(_SCALE, _DECIMAL.log10(ratio))


def _hertz(mel: Decimal) -> Decimal:
    power = _DECIMAL.power(Decimal(10), _DECIMAL.divide(mel, _SCALE))
    return _DECIMAL.multiply(_BREAK, _DECIMAL.subtract(power, 1))


def mel_matrix(bins: int, mels: int, sample_rate: int) -> NDArray[np.float32]:
    """Return float32 [bins, mels]: weight of each spectrum bin in each mel band.

    Args:
        bins: number of one-sided spectrum bins, ``n_fft // 2 + 1``.
        mels: number of bands between 0 Hz and half the sample rate.
        sample_rate: samples per second.
    """
    top = _mel(sample_rate // 2)
    edges = [
        float(_hertz(_DECIMAL.divide(_DECIMAL.multiply(top, index), Decimal(mels + 1))))
        for index in range(mels + 2)
    ]
    points = np.array(edges, dtype=np.float64)
    hertz = np.arange(bins, dtype=np.float64) * ((sample_rate // 2) / (bins - 1))
    width = points[1:] - points[:-1]
    distance = points[None, :] - hertz[:, None]
    falling = -distance[:, :-2] / width[:-1]
    rising = distance[:, 2:] / width[1:]
    return np.maximum(0.0, np.minimum(falling, rising)).astype(np.float32)
