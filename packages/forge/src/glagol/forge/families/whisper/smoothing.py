"""Smooth the inputs of the encoder's products, so that one 8-bit scale per value fits better.

A layer norm's output has columns that are many times larger than the others, and a scale for the
whole value is spent on them. Dividing a column of the norm's gain and bias, and multiplying the
matching column of the weights that read it, changes nothing but the rounding. The size of a column
is estimated from gain and bias alone, so no recording is needed. Values and the projection behind
attention are treated in the same way.

Source: SmoothQuant (Xiao et al. 2022, arXiv 2211.10438) with alpha one half. Every step is one IEEE
operation per element (a square root is exactly rounded), so the bytes do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.families.whisper.sizes import Sizes

Array = NDArray[np.generic]
Float32 = NDArray[np.float32]

NORM_SPREAD: Final = np.float32(3)
"""A normed value before the gain is taken to reach this."""

VALUE_SPREAD: Final = np.float32(8)
"""An attention's value is taken to reach this many times the largest weight of its row."""

SMALLEST: Final = np.float32(1e-5)
"""Weights below are taken for this, or a column of zeros would have an endless factor."""


class Smoothed(Mapping[str, Array]):
    """The weights of a model with an encoder that is evened out; others are as they were.

    Args:
        weights: tensors under normalised names.
        sizes: of the model.
    """

    def __init__(self, weights: Mapping[str, Array], sizes: Sizes) -> None:
        self._weights = weights
        self._columns: dict[str, Float32] = {}
        """Name of a matrix to what its columns are multiplied by."""
        self._rows: dict[str, Float32] = {}
        """Name of a tensor to what its rows are divided by, after its columns."""
        for number in range(sizes.encoder_layers):
            key = f"encoder.blocks.{number}"
            parts = [f"{key}.attn.{part}.weight" for part in ("query", "key", "value")]
            self._even_norm(f"{key}.attn_ln", parts)
            self._even_norm(f"{key}.mlp_ln", [f"{key}.mlp.0.weight"])
            self._even_values(f"{key}.attn")
        cross = [
            f"decoder.blocks.{number}.cross_attn.{part}.weight"
            for number in range(sizes.decoder_layers)
            for part in ("key", "value")
        ]
        self._even_norm("encoder.ln_post", cross)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor; float32 where it was changed. Raises KeyError."""
        value = self._weights[name]
        if name in self._columns:
            value = np.asarray(value, dtype=np.float32) * self._columns[name]
        if name in self._rows:
            rows = self._rows[name].reshape(-1, *[1] * (value.ndim - 1))
            value = np.asarray(value, dtype=np.float32) / rows
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def _even_norm(self, norm: str, readers: Sequence[str]) -> None:
        gain, bias = (self._size(f"{norm}.{part}") for part in ("weight", "bias"))
        factor = _factor(NORM_SPREAD * gain + bias, [self._size(name) for name in readers])
        self._rows |= {f"{norm}.{part}": factor for part in ("weight", "bias")}
        self._columns |= dict.fromkeys(readers, factor)

    def _even_values(self, attention: str) -> None:
        value, out = f"{attention}.value", f"{attention}.out.weight"
        rows = self._size(f"{value}.weight").max(axis=1)
        reach = VALUE_SPREAD * rows + self._size(f"{value}.bias")
        factor = _factor(reach, [self._size(out)])
        self._rows |= {f"{value}.{part}": factor for part in ("weight", "bias")}
        self._columns[out] = factor

    def _size(self, name: str) -> Float32:
        return np.abs(np.asarray(self[name], dtype=np.float32))


def _factor(reach: Float32, readers: Sequence[Float32]) -> Float32:
    """Return float32 [D]: what the columns of a value are divided by.

    Args:
        reach: float32 [D], how large each column of the value gets.
        readers: absolute weights [N, D] of the matrices that read it.
    """
    largest = np.max([matrix.max(axis=0) for matrix in readers], axis=0)
    factor: Float32 = np.sqrt(np.maximum(reach, SMALLEST) / np.maximum(largest, SMALLEST))
    return factor
