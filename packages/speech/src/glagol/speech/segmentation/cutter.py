"""Decoded audio to the pieces that the encoder reads, in one pass with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.segmentation.planner import Chunk, PlanDigest, Planner, Rule
from glagol.speech.segmentation.ring_buffer import RingBuffer
from glagol.speech.types import SAMPLE_RATE, Array, Span
from glagol.speech.vad.model import BLOCK_FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from glagol.speech.vad.families import Detector

SILENCE = 3e-4
"""Short audio that never exceeds this amplitude (-70 dB) is not shown to the encoder."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk with the samples of its window, float32 [len(chunk.window)]."""

    chunk: Chunk
    samples: Array


class Cutter:
    """Cuts one recording that is pushed block by block; call `finish` once after the last.

    Args:
        vad: the voice activity model.
        rule: how long audio is cut.
        short_s: audio up to this long, but not longer than the rule's window, is not cut, and not
            shown to the model.
        block_frames: frames per call of the model: how soon a pause is noticed. No cut depends on
            it.

    Attributes:
        total: samples of the recording so far.
        decoded: samples in the cores of the pieces.
        dropped: samples dropped as silence; in the end decoded + dropped = total.
        used_vad: whether voice activity decided, that is, whether the audio was long.
        plan_sha256: digest of the plan, after `finish`.
    """

    def __init__(
        self,
        vad: Detector,
        *,
        rule: Rule,
        short_s: float,
        block_frames: int = BLOCK_FRAMES,
    ) -> None:
        self._short = round(min(short_s, rule.window) * SAMPLE_RATE)
        self._buffer, self._planner = RingBuffer(), Planner(rule)
        self._stream = vad.stream(block_frames=block_frames)
        self._machine = vad.spans()
        self._digest = PlanDigest()
        self._head: list[Array] = []
        self.total = self.decoded = self.dropped = 0
        self.used_vad = False
        self.plan_sha256 = ""

    @property
    def settled(self) -> int:
        """Samples before this position are decoded or dropped."""
        return self._planner.settled if self.used_vad else self.decoded + self.dropped

    @property
    def needed(self) -> int:
        """First sample that a later piece may hold."""
        return self._planner.needed

    def pieces(self, blocks: Iterable[Array]) -> Iterator[Piece | None]:
        """Cut the blocks (float32 [n], in order) of a whole recording; yields as `push`."""
        for block in blocks:
            yield from self.push(block)
        yield from self.finish()

    def push(self, samples: Array) -> Iterator[Piece | None]:
        """Take the next samples float32 [n]; give the pieces that they complete.

        Yields:
            None after each call of the voice activity model that completed no piece, so that
            callers that share a processor can interleave their work.
        """
        self.total += len(samples)
        if self.used_vad:
            yield from self._advance(samples)
            return
        self._head.append(samples)
        if self.total > self._short:
            self.used_vad = True
            head, self._head = self._head, []
            for block in head:
                yield from self._advance(block)

    def finish(self) -> Iterator[Piece]:
        """The remaining pieces."""
        yield from self._end() if self.used_vad else self._whole()
        self.plan_sha256 = self._digest.finish(self.total)

    def open(self) -> Array:
        """What the next piece holds so far, float32 [n]; empty in silence.

        Only where voice activity decides, and only for a guess: the piece may end elsewhere.
        """
        planner = self._planner
        if not self.used_vad or not (planner.speaking or self._machine.speaking):
            return np.zeros(0, np.float32)
        return self._buffer.read(Span(max(planner.needed, self._buffer.start), self._buffer.end))

    def _whole(self) -> Iterator[Piece]:
        samples = np.concatenate([*self._head, np.zeros(0, np.float32)])
        self._head = []
        if not len(samples) or np.abs(samples).max() <= SILENCE:
            self.dropped = len(samples)
            return
        self.decoded = len(samples)
        whole = Span(0, len(samples))
        yield self._piece(Chunk(whole, whole), samples)

    def _advance(self, samples: Array) -> Iterator[Piece | None]:
        self._buffer.append(samples)
        for activity in self._stream.push(samples):
            self._planner.observe(activity)
            spans = self._machine.push(activity.probabilities.tolist())
            chunk = None
            for chunk in self._planner.advance(spans, self._machine.settled):
                yield self._piece(chunk, self._buffer.read(chunk.window))
            if chunk is None:
                yield None
            self._buffer.forget(self._planner.needed)

    def _end(self) -> Iterator[Piece]:
        spans = []
        for activity in self._stream.finish():
            self._planner.observe(activity)
            spans += self._machine.push(activity.probabilities.tolist())
        spans += self._machine.finish(self.total)
        for chunk in self._planner.finish(spans, self.total):
            yield self._piece(chunk, self._buffer.read(chunk.window))
        self.decoded, self.dropped = self._planner.decoded, self._planner.dropped

    def _piece(self, chunk: Chunk, samples: Array) -> Piece:
        self._digest.add(chunk)
        return Piece(chunk, samples)
