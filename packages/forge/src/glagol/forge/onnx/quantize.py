"""8-bit weights: signed with one scale per output column, or unsigned with one scale per block.

The activations are quantised at run time to unsigned bytes; u8 x s8 is the one pairing for which
ONNX Runtime has AMX and VNNI kernels. The weights are symmetric (zero point 0) and stay within
+-127. Every step is one IEEE operation per element, so the bytes do not depend on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT = 127


@dataclass(frozen=True, slots=True)
class Quantised:
    """Integer weights int8 [K, N] and the float32 [N] that one step of each column is worth."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def column_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [N]: the step size of each column of ``weight`` [K, N].

    An all-zero column gets a step of 1.

    Raises:
        ValueError: the weights hold a NaN or an infinity.
    """
    largest: NDArray[np.float32] = np.abs(weight).max(axis=0)
    if not np.isfinite(largest).all():
        raise ValueError("weights are not finite")
    scales: NDArray[np.float32] = largest / np.float32(LIMIT)
    # A step below the smallest normal number would be flushed to zero on some machines.
    scales[scales < np.finfo(np.float32).tiny] = np.float32(1)
    return scales


def quantise(weight: NDArray[np.float32]) -> Quantised:
    """Round ``weight`` [K, N] to the nearest step of its column, ties to even.

    Raises:
        ValueError: the weights hold a NaN or an infinity.
    """
    scales = column_scales(weight)
    steps = np.rint(weight / scales)
    return Quantised(np.clip(steps, -LIMIT, LIMIT).astype(np.int8), scales)


MIDDLE = 128
"""The byte that stands for zero in a block."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Bytes uint8 [N, K / block, block] and the float32 [N, K / block] that a step is worth."""

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]


def block_size(inner: int, most: int = 128) -> int:
    """Return the largest power of two that divides ``inner``, at most ``most``."""
    return min(most, inner & -inner)


def quantise_blocks(weight: NDArray[np.float32], block: int) -> Blocks:
    """Round ``weight`` [N, K] to the nearest step of its block of a row, ties to even.

    This is the form of ONNX Runtime's ``MatMulNBits`` and ``GatherBlockQuantized`` with 8 bits.

    Raises:
        ValueError: the weights hold a NaN or an infinity, or K is no multiple of ``block``.
    """
    rows, inner = weight.shape
    parts = weight.reshape(rows, inner // block, block)
    # The scales of columns, with a block in the place of a column.
    scales = column_scales(parts.reshape(-1, block).T).reshape(rows, inner // block)
    steps = np.clip(np.rint(parts / scales[..., None]), -LIMIT, LIMIT)
    return Blocks((steps + np.float32(MIDDLE)).astype(np.uint8), scales)
