"""Log-mel frames against the definition, written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.speech.engines.gigaam.features import HOP, FrontEnd
from speech import made


def hertz_to_mel(hertz: float) -> float:
    """HTK scale."""
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def filter_bank() -> made.Samples:
    """64 HTK triangles over 0..8000 Hz, no norm: float32 [161, 64]."""
    edges = 700.0 * (10 ** (np.linspace(0, hertz_to_mel(8_000), 66) / 2595.0) - 1.0)
    bins = np.linspace(0, 8_000, 161)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


BANK = filter_bank()
DFT = np.exp(-2j * np.pi * np.outer(np.arange(161), np.arange(320)) / 320)
WINDOW = np.hanning(321)[:-1].astype(np.float32)
FRONT_END = FrontEnd(WINDOW, BANK)


def by_definition(samples: made.Samples) -> made.Samples:
    """One frame at a time, a DFT by its sum."""
    count = (len(samples) - 320) // 160 + 1
    rows = []
    for at in range(count):
        frame = samples[at * 160 : at * 160 + 320].astype(np.float64) * WINDOW
        power = np.abs(DFT @ frame) ** 2
        rows.append(np.log(np.clip(power @ BANK.astype(np.float64), 1e-9, 1e9)))
    return np.array(rows, np.float32)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(320, 6_000), level=st.floats(1e-3, 1.0))
def test_frames_follow_the_definition(seed: int, length: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    samples = (level * rng.uniform(-1, 1, length)).astype(np.float32)
    frames = FRONT_END(samples)
    assert frames.shape == ((length - 320) // 160 + 1, 64)
    assert np.abs(frames - by_definition(samples)).max() < 2e-3


@pytest.mark.parametrize("length", [0, 1, 319])
def test_less_than_a_window_gives_no_frame(length: int) -> None:
    assert FRONT_END(np.zeros(length, np.float32)).shape == (0, 64)


def test_silence_has_the_floor_value() -> None:
    assert np.allclose(FRONT_END(np.zeros(1_000, np.float32)), np.log(1e-9))


def test_a_frame_does_not_depend_on_what_follows() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 16_000 * 23).astype(np.float32)
    whole = FRONT_END(samples)
    for frames in (1, 7, 999, 1000, 1001, 2_000):
        part = FRONT_END(samples[: (frames - 1) * HOP + 320])
        assert np.array_equal(part, whole[:frames])
