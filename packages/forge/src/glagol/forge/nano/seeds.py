"""Named random streams: every draw of the recipe follows from one seed."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer that depends on the seed and every name, on any machine."""
    text = "/".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> random.Random:
    """Return a generator independent of the streams of other names."""
    return random.Random(derive(seed, *names))  # noqa: S311 - repeatable draws, no secrets


def array_stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator independent of the streams of other names."""
    return np.random.default_rng(derive(seed, *names))
