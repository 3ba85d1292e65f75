"""First check of a new build: run a synthetic clip through the engine that will serve it.

The text of a model is not known here, but these properties of every correct model are: one frame
for four, finite numbers, probabilities that sum to one, padding that changes nothing, a sound that
differs from silence, and precisions that agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.core.errors import IntegrityError
from glagol.runtime.kernels.choice import library
from glagol.runtime.session import artifact, open_session
from glagol.runtime.tensors import read_float32
from glagol.speech.engines.base import configured
from glagol.speech.engines.gigaam.config import Config, Rnnt
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.engines.gigaam.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.registry.registry import OpenModel

__all__ = ["clip", "smoke"]

SAMPLES: Final = 32_000
PADS: Final = 37
"""Frames behind the end, no multiple of the subsampling."""

FRAMES_DECODED: Final = 10

CLOSE: Final = 1e-3
ALIKE: Final = 0.9
"""Least cosine between the outputs of two precisions."""


def clip() -> NDArray[np.float32]:
    """Two seconds at 16 kHz: float32 [32000], a rising voice-like sum of tones with gaps."""
    time = np.arange(SAMPLES) / 16_000
    tones = [np.sin(2 * np.pi * n * (110 + 30 * time) * time) / n for n in range(1, 20)]
    gaps = np.sin(2 * np.pi * 3 * time) > -0.5
    samples: NDArray[np.float32] = (0.1 * np.sum(tones, axis=0) * gaps).astype(np.float32)
    return samples


def smoke(opened: OpenModel, directions: dict[str, NDArray[np.float32]]) -> None:
    """Run `opened` on the clip and judge what comes out.

    Args:
        opened: A variant of a recogniser.
        directions: Directions of the outputs of the variants before it, float32 [T, C], by variant
            id; this one's is added.

    Raises:
        IntegrityError: `artifact_altered`, saying what a right model does and this one does not.
        HostError: `provider_missing`.
    """

    def must(holds: object, what: str) -> None:
        if not holds:
            raise IntegrityError(
                "artifact_altered",
                f"{opened.model.id} {opened.variant.id} was built but does not work: {what}",
                "the source is damaged or of another architecture; it was not recorded",
            )

    head = read_float32(artifact(opened.blobs, "head.safetensors").data)
    vocabulary = Vocabulary.read(artifact(opened.blobs, "vocabulary.json").data)
    kernels = library() if opened.variant.provider == "cpu" else None
    session = open_session(opened.blobs, "encoder.onnx", device="cpu", threads=0, library=kernels)
    features = FrontEnd(head["window"], head["mel"])(clip())

    def run(frames: NDArray[np.float32], length: int) -> tuple[NDArray[np.float32], int]:
        feeds = {"features": frames[np.newaxis], "lengths": np.array([length], np.int64)}
        outputs, ends = session.run(None, feeds)
        return outputs[0], int(ends[0])

    length = len(features)
    output, frames = run(features, length)
    classes = vocabulary.blank + 1
    decoding: Config = configured(opened.model, Config)
    width = len(head["joint.pred.bias"]) if isinstance(decoding, Rnnt) else classes
    must(
        frames == (length - 1) // decoding.subsampling + 1,
        f"{length} frames of sound became {frames}",
    )
    must(output.shape == (frames, width), f"outputs are {output.shape}, not {(frames, width)}")
    must(np.isfinite(output).all(), "outputs are not finite")
    if not isinstance(decoding, Rnnt):
        sums = np.exp(output.astype(np.float64)).sum(axis=1)
        must(np.abs(sums - 1).max() < CLOSE, "probabilities do not sum to one")
    else:
        decoder = Transducer(head, vocabulary.blank, decoding.max_symbols)
        decoder.greedy(output[:FRAMES_DECODED])
    silence, _ = run(np.full_like(features, features.min()), length)
    must(np.abs(output - silence).max() > CLOSE, "a sound is like silence")
    if opened.variant.precision in ("fp32", "fp16"):
        behind = np.full((PADS, features.shape[1]), 3, np.float32)
        padded, ends = run(np.concatenate([features, behind]), length)
        apart = np.abs(padded[:frames] - output).max() / np.abs(output).max()
        must(ends == frames and apart < CLOSE, "samples behind the end change the transcript")
    shape = output - output.mean(axis=1, keepdims=True)
    direction = shape / np.linalg.norm(shape)
    for other, earlier in directions.items():
        cosine = float(np.vdot(direction, earlier))
        must(cosine > ALIKE, f"its outputs and those of {other} have a cosine of {cosine:.3f}")
    directions[opened.variant.id] = direction
