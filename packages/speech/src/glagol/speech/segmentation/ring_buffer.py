"""A window over a recording that is read once: append at the end, forget the beginning."""

from __future__ import annotations

from collections import deque

import numpy as np

from glagol.speech.types import Array, Span


class RingBuffer:
    """Samples of a recording by absolute position.

    Attributes:
        start: first position still held.
        end: position after the last sample appended.
    """

    def __init__(self) -> None:
        self._blocks: deque[Array] = deque()
        self.start = 0
        self.end = 0

    def append(self, samples: Array) -> None:
        """Add the next samples float32 [N]."""
        if len(samples):
            self._blocks.append(samples)
            self.end += len(samples)

    def read(self, span: Span) -> Array:
        """Samples of a span, float32 [len(span)]; start <= span.start <= span.end <= end.

        Raises:
            IndexError: the span is not held (a bug of the caller).
        """
        if not self.start <= span.start <= span.end <= self.end:
            raise IndexError(f"{span} is outside of {self.start}..{self.end}")
        pieces = []
        at = self.start
        for block in self._blocks:
            first, last = max(0, span.start - at), min(len(block), span.end - at)
            if first < last:
                pieces.append(block[first:last])
            at += len(block)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def forget(self, before: int) -> None:
        """Let go of whole blocks before a position."""
        while self._blocks and self.start + len(self._blocks[0]) <= before:
            self.start += len(self._blocks.popleft())
