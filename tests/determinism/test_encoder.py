"""The encoder's own promises: threads never count, batch mates do not in fp32."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import homes
from determinism.conftest import CASES
from glagol.registry.registry import Registry
from glagol.runtime.kernels.choice import library
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import artifact, open_session
from glagol.runtime.tensors import read_float32
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.types import Array
from sounds import samples

PRODUCTS = {"as served": library(), "onnxruntime's": None}


@cache
def session(
    model: str, variant: str, threads: int, products: str = "as served"
) -> onnxruntime.InferenceSession:
    """An encoder of the repository."""
    blobs = homes.repository().open(model, variant).blobs
    return open_session(
        blobs, "encoder.onnx", device="cpu", threads=threads, library=PRODUCTS[products]
    )


@cache
def speech() -> Array:
    """Log-mel frames of real speech, long enough for every case, float32 [L, 64]."""
    blobs = homes.repository().open(homes.MODEL).blobs
    head = read_float32(artifact(blobs, "head.safetensors").data)
    sound, _ = samples()
    return FrontEnd(head["window"], head["mel"])(np.tile(sound, 12))


def encoded(run: onnxruntime.InferenceSession, clips: list[Array], fill: float) -> list[Array]:
    """Encode clips [L, 64] in one batch, what is after their ends filled; each one's frames."""
    longest = max(len(clip) for clip in clips)
    batch = np.full((len(clips), longest, clips[0].shape[1]), fill, np.float32)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    lengths: npt.NDArray[np.int64] = np.array([len(clip) for clip in clips], np.int64)
    outputs, counts = run.run(None, {"features": batch, "lengths": lengths})
    return [row[:count] for row, count in zip(outputs, counts, strict=True)]


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize(("model", "variant"), CASES)
def test_threads_do_not_change_a_bit(
    registry: Registry, model: str, variant: str, products: str
) -> None:
    """One, two, three and five threads: the outputs of a product are divided, never its sums."""
    for frames in (7, 130, 999, 2499):
        clip = speech()[:frames]
        alone = encoded(session(model, variant, 1, products), [clip], 0.0)[0]
        for threads in (2, 3, 5):
            again = encoded(session(model, variant, threads, products), [clip], 0.0)[0]
            assert again.tobytes() == alone.tobytes()


BATCH_DIFFERENCE_MAX = 5e-6
"""Relative to the largest output; about ten times what was seen."""


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@example(homes.MODEL, [(0, 325), (0, 329)], 0.0, 1)
@given(
    st.sampled_from([homes.MODEL, homes.OTHER]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 1500)), min_size=2, max_size=4),
    st.sampled_from([0.0, -20.0, 1e4]),
    st.integers(1, 2),
)
def test_a_batch_is_its_clips_alone(
    model: str, cuts: list[tuple[int, int]], fill: float, threads: int
) -> None:
    """Unequal lengths in fp32: what each clip is alone, whatever fills the rest.

    Nearly always bit for bit. A padded length can choose another kernel, as in the example: then
    the last bits differ, which is one reason why nothing is batched on a CPU.
    """
    run = session(model, "cpu-fp32", threads)
    clips = [speech()[start : start + length] for start, length in cuts]
    for together, clip in zip(encoded(run, clips, fill), clips, strict=True):
        alone = encoded(run, [clip], 0.0)[0]
        assert np.abs(together - alone).max() <= BATCH_DIFFERENCE_MAX * np.abs(alone).max()


def test_a_batch_in_int8_is_not_and_so_is_never_made(registry: Registry) -> None:
    """Activations share one scale over a batch: why `Acoustic` runs every window alone."""
    run = session(homes.MODEL, "cpu-int8", 1)
    quiet, loud = speech()[:300], speech()[300:700] + np.float32(3)
    together = encoded(run, [quiet, loud], 0.0)[0]
    alone = encoded(run, [quiet], 0.0)[0]
    assert together.tobytes() != alone.tobytes()
