"""Silero's sequence model as a stream: samples to speech probabilities.

The 16 kHz sequence model of silero-vad 6.2.3 reads frames of 512 new samples, each after the 64
samples before it, and carries an LSTM state (`silero_vad/sequence_vad.py`). Its first axis is the
time of one recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.types import Array

if TYPE_CHECKING:
    from glagol.runtime.ort import onnxruntime

FRAME = 512
"""Samples per probability: 32 ms."""

CONTEXT = 64
STATE = 128
BLOCK_FRAMES = 512
"""Frames per call: 16.4 s. More does not run faster, fewer cost calls; the numbers are the same."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was measured of consecutive frames.

    Attributes:
        probabilities: float32 [n], speech probability 0..1.
        levels: float32 [n], mean square of the samples, 0..1.
    """

    probabilities: Array
    levels: Array


class ActivityStream:
    """Activity of one recording, pushed in blocks of any size.

    Args:
        session: the sequence model.
        block_frames: frames per call of the model; what is measured does not depend on it.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, *, block_frames: int = BLOCK_FRAMES
    ) -> None:
        self._session = session
        self._block = block_frames * FRAME
        self._hidden = np.zeros((1, 1, STATE), np.float32)
        self._cell = np.zeros((1, 1, STATE), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._pending: list[Array] = []
        self._waiting = 0

    def push(self, samples: Array) -> list[Activity]:
        """Take the next samples float32 [N]; give the activity of every complete block."""
        self._pending.append(samples)
        self._waiting += len(samples)
        size = self._block
        if self._waiting < size:
            return []
        ready = np.concatenate(self._pending)
        whole = len(ready) // size * size
        self._pending, self._waiting = [ready[whole:]], len(ready) - whole
        return [self._run(ready[at : at + size]) for at in range(0, whole, size)]

    def finish(self) -> list[Activity]:
        """The last, shorter block; its last frame is filled with zeros."""
        if not self._waiting:
            return []
        rest = np.concatenate(self._pending)
        self._pending, self._waiting = [], 0
        return [self._run(np.pad(rest, (0, -len(rest) % FRAME)))]

    def _run(self, samples: Array) -> Activity:
        frames = samples.reshape(-1, FRAME)
        inputs = np.empty((len(frames), CONTEXT + FRAME), np.float32)
        inputs[0, :CONTEXT] = self._context
        inputs[1:, :CONTEXT] = frames[:-1, -CONTEXT:]
        inputs[:, CONTEXT:] = frames
        self._context = frames[-1, -CONTEXT:].copy()
        probabilities, self._hidden, self._cell = self._session.run(
            ("speech_probs", "hn", "cn"), {"input": inputs, "h": self._hidden, "c": self._cell}
        )
        levels = np.square(frames).mean(axis=1, dtype=np.float32)
        return Activity(probabilities.reshape(-1), levels)
