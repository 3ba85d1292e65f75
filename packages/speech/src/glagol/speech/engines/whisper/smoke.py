"""First check of a new build: run a synthetic clip through the engine that will serve it.

The text of a model is not known here, but these properties of every correct model are: finite
numbers, tokens that give the same logits together and one by one, a state that forgets without a
trace, beams that are alike when their tokens are, a sound that differs from silence, and precisions
that agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.core.errors import IntegrityError
from glagol.runtime.options import Runtime
from glagol.speech.engines.whisper.attempts import padded
from glagol.speech.engines.whisper.engine import Whisper
from glagol.speech.engines.whisper.graphs import State
from glagol.speech.types import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glagol.registry.registry import OpenModel

__all__ = ["clip", "smoke"]

SECONDS: Final = 0.4
FRAMES: Final = 48
"""Mel frames of the window: the clip and a little behind it."""

CLOSE: Final = 1e-3
"""Of the largest logit: how far exact ways of computing may be apart."""

ALIKE: Final = 0.9
"""Least cosine between the logits of two precisions, or of two ways of rounding."""


def clip() -> NDArray[np.float32]:
    """0.4 s at 16 kHz: float32 [6400], a rising voice-like sum of tones with gaps."""
    time = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * n * (110 + 30 * time) * time) / n for n in range(1, 20)]
    gaps = np.sin(2 * np.pi * 3 * time) > -0.5
    samples: NDArray[np.float32] = (0.1 * np.sum(tones, axis=0) * gaps).astype(np.float32)
    return samples


def smoke(opened: OpenModel, directions: dict[str, NDArray[np.float32]]) -> None:
    """Run `opened` on the clip and judge what comes out.

    Args:
        opened: A variant of a recogniser.
        directions: Directions of the logits of the variants before it, float32 [n], by variant id;
            this one's is added.

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

    engine = Whisper(opened, Runtime(device=opened.variant.provider))
    ids = engine.ids
    tokens = [*ids.start(ids.spoken[0], "transcribe"), ids.no_timestamps, 0, 1, 2]
    everywhere = range(len(tokens))

    def logits(samples: NDArray[np.float32]) -> tuple[State, NDArray[np.float32]]:
        cross = engine.graphs.encode(padded(engine.front_end(samples), FRAMES))
        state = State(engine.graphs, cross)
        return state, state.step(np.array([tokens], np.int64), everywhere)[0].copy()

    state, together = logits(clip())
    must(np.isfinite(together).all(), "logits are not finite")
    state.rewind(0)
    again = state.step(np.array([tokens], np.int64), everywhere)[0]
    must(np.array_equal(together, again), "what was read before changes what comes after")
    state.rewind(0)
    singly = np.stack([state.step(np.array([[token]], np.int64))[0, 0].copy() for token in tokens])
    exact = opened.variant.precision == "fp32"
    must(
        _close(together, singly) if exact else _cosine(together, singly) > ALIKE,
        "tokens read together are not tokens read one by one",
    )
    state.rewind(len(tokens) - 1)
    beams = state.branched(2).step(np.array([[tokens[-1]]] * 2, np.int64))[:, 0]
    must(np.array_equal(beams[0], beams[1]), "equal beams differ")
    must(
        _close(beams[0], singly[-1]) if exact else _cosine(beams[0], singly[-1]) > ALIKE,
        "a beam differs from a single search",
    )
    _, silence = logits(np.zeros_like(clip()))
    must(np.abs(together - silence).max() > CLOSE, "a sound is like silence")
    for other, earlier in directions.items():
        cosine = float(np.vdot(_direction(together), earlier))
        must(cosine > ALIKE, f"its logits and those of {other} have a cosine of {cosine:.3f}")
    directions[opened.variant.id] = _direction(together)


def _close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.abs(one - other).max() <= CLOSE * np.abs(one).max())


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.vdot(_direction(one), _direction(other)))


def _direction(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """What logits [..., n] say apart from their mean, as a vector of length one."""
    shape = (logits - logits.mean(axis=-1, keepdims=True)).ravel()
    found: NDArray[np.float32] = shape / np.linalg.norm(shape)
    return found
