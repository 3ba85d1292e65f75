"""Rotary tables, window and mel matrix: exact to the last bit that float32 has."""

from __future__ import annotations

import math
from decimal import Context, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.forge.families.gigaam.mel import mel_matrix
from glagol.forge.families.gigaam.rope import (
    hann_window,
    inverse_frequencies,
    rotary_tables,
)
from glagol.forge.trigonometry import sine_cosine


@given(st.floats(0, 65536))
def test_sine_and_cosine_are_correct(angle: float) -> None:
    """Within two units of the last place of one, over the whole range."""
    sine, cosine = sine_cosine(np.array([angle]))
    assert sine[0] == pytest.approx(math.sin(angle), abs=2.3e-16)
    assert cosine[0] == pytest.approx(math.cos(angle), abs=2.3e-16)


def test_range_is_enforced() -> None:
    """Where the reduction is not exact there is no result."""
    with pytest.raises(ValueError, match="65536"):
        sine_cosine(np.array([70000.0]))
    with pytest.raises(ValueError, match="65536"):
        sine_cosine(np.array([-1.0]))


def test_rotary_table_has_the_right_base_and_rows() -> None:
    """Base 5000, float32 angles, one column per pair: the second pair of 48 turns so far."""
    cosines, sines = rotary_tables(5000, 48, 5000)
    assert cosines.shape == sines.shape == (5000, 24)
    assert (cosines[0] == 1).all()
    assert (sines[0] == 0).all()
    frequency = inverse_frequencies(48, 5000)[1]
    exact = Context(prec=30).power(Decimal(5000), -Decimal(2) / Decimal(48))
    assert frequency == pytest.approx(float(exact), rel=1.2e-7)
    angle = float(np.float32(4999) * frequency)
    assert cosines[4999, 1] == np.float32(math.cos(angle))
    assert sines[4999, 1] == np.float32(math.sin(angle))


def test_hann_window_is_periodic() -> None:
    """Zero only at the start, one in the middle, symmetric around it."""
    window = hann_window(320)
    assert window[0] == 0
    assert window[160] == 1
    assert np.array_equal(window[1:], window[1:][::-1])


def test_mel_matrix_is_triangles() -> None:
    """Bands rise and fall once; inside the outer edges the weights of a bin sum to one."""
    matrix = mel_matrix(161, 64, 16000)
    assert matrix.shape == (161, 64)
    assert matrix.min() == 0
    assert matrix.max() <= 1
    inside = matrix[3:150].sum(axis=1)
    assert inside == pytest.approx(np.ones_like(inside), abs=1e-6)
    for band in matrix.T:
        turns = np.sign(np.diff(band[np.flatnonzero(band)]))
        assert (np.diff(turns) <= 0).all()
