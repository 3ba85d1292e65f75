"""Sine and cosine that are the same numbers on every machine.

The library cosine of one CPU differs from that of another in the last bit, and an artifact with
it. Here both come from exact range reduction and a Taylor polynomial, all additions and
multiplications of doubles: IEEE 754 fixes each of those, so it fixes the result.
"""

from __future__ import annotations

from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECIMAL", "PI", "sine_cosine"]

Float64 = NDArray[np.float64]

DECIMAL = Context(prec=40)
_TERMS = 11
PI = Decimal("3.14159265358979323846264338327950288419716939937511")
_HIGH_BITS = 36
"""Bits of each part of pi/2: times a quadrant below 2**16 the product is exact."""


def _split_half_pi() -> tuple[float, float, float]:
    rest = DECIMAL.divide(PI, Decimal(2))
    parts: list[float] = []
    for _ in range(2):
        mantissa, exponent = np.frexp(float(rest))
        scale = Decimal(2) ** (_HIGH_BITS - int(exponent))
        part = Decimal(int(Decimal(float(mantissa)) * 2**_HIGH_BITS)) / scale
        parts.append(float(part))
        rest = DECIMAL.subtract(rest, Decimal(parts[-1]))
    return parts[0], parts[1], float(rest)


def _taylor(x: Float64, first: int) -> Float64:
    """Sum the series of sine (first = 1) or cosine (first = 0) on |x| <= pi/4, by Horner."""
    square = x * x
    total = np.zeros_like(x)
    for term in reversed(range(_TERMS)):
        power = 2 * term + first
        factorial = 1
        for factor in range(2, power + 1):
            factorial *= factor
        total = total * square + (-1.0 if term % 2 else 1.0) / factorial
    return total * x if first else total


def sine_cosine(angles: Float64) -> tuple[Float64, Float64]:
    """Return sines and cosines of ``angles`` [any shape] (radians, 0 to 65536), to about 1e-16.

    Raises:
        ValueError: an angle is outside the range in which the reduction is exact.
    """
    if angles.size and (angles.min() < 0 or angles.max() > 65536):
        raise ValueError("angles must lie between 0 and 65536 radians")
    high, middle, low = _split_half_pi()
    quadrant = np.rint(angles * float(DECIMAL.divide(Decimal(2), PI)))
    rest = ((angles - quadrant * high) - quadrant * middle) - quadrant * low
    sine, cosine = _taylor(rest, 1), _taylor(rest, 0)
    turns = quadrant.astype(np.int64) & 3
    swapped = turns % 2 == 1
    sines = np.where(swapped, cosine, sine)
    cosines = np.where(swapped, sine, cosine)
    return (
        np.where(turns >= 2, -sines, sines),
        np.where((turns == 1) | (turns == 2), -cosines, cosines),
    )
