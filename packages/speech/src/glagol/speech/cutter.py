"""Decoded audio to the pieces that the encoder reads, in one pass with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.chunk import Chunk, PlanDigest, Planner, Rule
from glagol.speech.tape import Tape
from glagol.speech.types import SAMPLE_RATE, Array, Span
from glagol.speech.vad import ActivityStream, SpanMachine

if TYPE_CHECKING:
    from glagol.registry.entries import Vad
    from glagol.speech.runtime import onnxruntime

SILENCE = 3e-4
"""Short audio that never exceeds this amplitude (-70 dB) is not shown to the encoder."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk with the samples of its window, float32 [len(chunk.window)]."""

    chunk: Chunk
    samples: Array


class Cutter:
    """Cuts one recording; iterate over `pieces` once, then read the totals.

    Attributes:
        total: samples of the recording.
        decoded: samples in the cores of the pieces.
        dropped: samples dropped as silence; decoded + dropped = total.
        used_vad: whether voice activity decided, that is, whether the audio was long.
        plan_sha256: digest of the plan.
    """

    def __init__(
        self,
        vad: onnxruntime.InferenceSession,
        parameters: Vad,
        *,
        rule: Rule,
        short_s: float,
    ) -> None:
        self._vad = vad
        self._parameters = parameters
        self._rule = rule
        self._short = round(min(short_s, rule.window) * SAMPLE_RATE)
        self.total = self.decoded = self.dropped = 0
        self.used_vad = False
        self.plan_sha256 = ""

    def pieces(self, blocks: Iterator[Array]) -> Iterator[Piece]:
        """Cut the blocks (float32 [n], in order) of one recording."""
        digest = PlanDigest()
        head: list[Array] = []
        for block in blocks:
            head.append(block)
            self.total += len(block)
            if self.total > self._short:
                self.used_vad = True
                break
        found = self._long(head, blocks) if self.used_vad else self._whole(head)
        for piece in found:
            digest.add(piece.chunk)
            yield piece
        self.plan_sha256 = digest.finish(self.total)

    def _whole(self, blocks: list[Array]) -> Iterator[Piece]:
        samples = np.concatenate([*blocks, np.zeros(0, np.float32)])
        if not len(samples) or np.abs(samples).max() <= SILENCE:
            self.dropped = len(samples)
            return
        self.decoded = len(samples)
        whole = Span(0, len(samples))
        yield Piece(Chunk(whole, whole), samples)

    def _long(self, head: list[Array], rest: Iterator[Array]) -> Iterator[Piece]:
        tape, planner = Tape(), Planner(self._rule)
        stream, machine = ActivityStream(self._vad), SpanMachine(self._parameters)

        def advance(samples: Array) -> Iterator[Piece]:
            tape.append(samples)
            for activity in stream.push(samples):
                planner.observe(activity)
                spans = machine.push(activity.probabilities.tolist())
                for chunk in planner.advance(spans, machine.settled):
                    yield Piece(chunk, tape.read(chunk.window))
                tape.forget(planner.needed)

        for block in head:
            yield from advance(block)
        for block in rest:
            self.total += len(block)
            yield from advance(block)
        spans = []
        for activity in stream.finish():
            planner.observe(activity)
            spans += machine.push(activity.probabilities.tolist())
        spans += machine.finish(self.total)
        for chunk in planner.finish(spans, self.total):
            yield Piece(chunk, tape.read(chunk.window))
        self.decoded, self.dropped = planner.decoded, planner.dropped
