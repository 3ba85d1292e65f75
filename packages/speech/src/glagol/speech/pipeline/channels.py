"""One channel from samples to segments, and several channels merged into one dialogue."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from glagol.speech.segmentation.overlap import after, before, seam_of
from glagol.speech.segmentation.segments import SegmentStream
from glagol.speech.types import SAMPLE_RATE, Array, Segment, Word, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from glagol.speech.segmentation.cutter import Piece
    from glagol.speech.segmentation.planner import Chunk, Rule

__all__ = ["Hear", "Listener", "Pieces", "Sketch", "Turns"]


class Hear(Protocol):
    """Recognises the words of one window."""

    def __call__(self, samples: Array, start: int) -> list[Word]:
        """Words of samples float32 [n] that begin at sample `start` of the recording."""


class Pieces(Protocol):
    """Cuts one channel; `Cutter` is one."""

    @property
    def total(self) -> int:
        """Samples of the recording so far."""

    @property
    def needed(self) -> int:
        """First sample that a later piece may hold."""

    def push(self, samples: Array) -> Iterator[Piece | None]:
        """As `Cutter.push`; samples float32 [n]."""

    def finish(self) -> Iterator[Piece]:
        """The remaining pieces."""

    def open(self) -> Array:
        """As `Cutter.open`, float32 [n]."""


P = TypeVar("P", bound=Pieces)


class Listener(Generic[P]):
    """Samples of one channel in, segments out as soon as they are final.

    Every yield is a step: a piece was recognised, or a while of audio was found to complete none.
    What comes out does not depend on how the samples are divided into blocks.

    Args:
        cutter: a fresh one.
        hear: recognises a piece.
        rule: of the cutter; its lead is the common audio of two pieces at a cut inside speech.
        channel: number that the segments carry; None for none.
    """

    def __init__(self, cutter: P, hear: Hear, *, rule: Rule, channel: int | None = None) -> None:
        self.cutter = cutter
        self._hear = hear
        self._joiner = _Joiner(rule.lead)
        self._sketch = round((rule.window - 1.0) * SAMPLE_RATE)  # guesses read no more
        self._stream = SegmentStream()
        self._channel = channel

    @property
    def frontier(self) -> float:
        """No segment that is still to come starts before this, seconds."""
        return self._stream.frontier

    def push(self, samples: Array) -> Iterator[list[Segment]]:
        """Take the next samples float32 [n]; one list of segments for each step."""
        for piece in self.cutter.push(samples):
            yield self._step(piece)

    def finish(self) -> Iterator[list[Segment]]:
        """The recording is over: the remaining steps, the last one without a piece."""
        for piece in self.cutter.finish():
            yield self._step(piece)
        yield self._named(self._stream.finish())

    def open(self) -> Sketch | None:
        """What a partial result of the unfinished audio needs, during speech; None in silence."""
        samples = self.cutter.open()
        if not len(samples):
            return None
        kept, joiner = self._stream.words, replace(self._joiner)
        if len(samples) > self._sketch:  # speech without a pause: its end will do
            samples, kept, joiner = samples[-self._sketch :], (), _Joiner(self._joiner.lead)
        start = self.cutter.total - len(samples)
        return Sketch(samples, start, kept, joiner, self._channel)

    def _step(self, piece: Piece | None) -> list[Segment]:
        found: list[Segment] = []
        if piece is not None:
            words = self._hear(piece.samples, piece.chunk.window.start)
            found = self._stream.push(self._joiner.words(piece.chunk, words))
            if piece.chunk.pause:  # the next word comes after a silence that ends a segment
                found += self._stream.finish()
        found += self._stream.settle(self.cutter.needed / SAMPLE_RATE)
        return self._named(found)

    def _named(self, segments: list[Segment]) -> list[Segment]:
        if self._channel is None:
            return segments
        return [replace(segment, channel=self._channel) for segment in segments]


@dataclass(frozen=True, slots=True)
class Sketch:
    """The end of a recording as it was at one moment; it changes nothing of the recording.

    Attributes:
        samples: not transcribed yet, float32 [n].
        start: position of the first one.
    """

    samples: Array
    start: int
    _kept: tuple[Word, ...]
    _joiner: _Joiner
    _channel: int | None

    def segment(self, words: Sequence[Word]) -> Segment | None:
        """What is said since the last segment, given the words of `samples`; None: nothing.

        The segment that comes in the end may differ.
        """
        spoken = [*self._kept, *self._joiner.new(words)]
        if not spoken:
            return None
        start, end = round(spoken[0].start, 3), round(spoken[-1].end, 3)
        return Segment(start, max(start, end), text_of(spoken), channel=self._channel)


class Turns:
    """Merge the segments of several channels by start; equal ones by channel."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, int, Segment]] = []
        self._count = 0

    def push(self, segments: Iterable[Segment], frontiers: Sequence[float]) -> list[Segment]:
        """Take one channel's next segments; give those that no channel can precede any more.

        Args:
            segments: of one channel, in its order.
            frontiers: of each channel, seconds (see `Listener.frontier`).
        """
        for segment in segments:
            key = (segment.start, segment.channel or 0, self._count)
            heapq.heappush(self._waiting, (*key, segment))
            self._count += 1
        out = []
        edge = min((second, channel) for channel, second in enumerate(frontiers))
        while self._waiting and self._waiting[0][:2] <= edge:
            out.append(heapq.heappop(self._waiting)[-1])
        return out

    def finish(self) -> list[Segment]:
        """All that is left."""
        return [heapq.heappop(self._waiting)[-1] for _ in range(len(self._waiting))]


@dataclass(slots=True)
class _Joiner:
    """Words of consecutive pieces, each word once (see `glagol.speech.segmentation.overlap`)."""

    lead: float
    _seam: float | None = None
    _last: Word | None = None

    def new(self, words: Sequence[Word]) -> Sequence[Word]:
        """Those of the next piece's words that the last one did not have."""
        return words if self._seam is None else after(words, self._seam, self._last)

    def words(self, chunk: Chunk, words: Sequence[Word]) -> list[Word]:
        """The words that the next chunk answers for."""
        core, window = chunk.core, chunk.window
        kept = list(self.new(words) if window.start < core.start else words)
        self._seam = None
        if window.end > core.end:
            self._seam = seam_of(kept, core.end / SAMPLE_RATE, self.lead)
            kept = before(kept, self._seam)
        self._last = kept[-1] if kept else None
        return kept
