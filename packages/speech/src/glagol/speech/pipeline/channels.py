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

__all__ = [
    "ChannelCutter",
    "ChannelStream",
    "DialogueMerger",
    "UnfinishedSpeech",
    "WindowRecognizer",
]


class WindowRecognizer(Protocol):
    """Recognises the words of one window."""

    def __call__(self, samples: Array, start: int) -> list[Word]:
        """Words of samples float32 [n] that begin at sample `start` of the recording."""


class ChannelCutter(Protocol):
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


P = TypeVar("P", bound=ChannelCutter)


class ChannelStream(Generic[P]):
    """Transcribes one channel: takes samples, gives segments as soon as they are final.

    Every yield is a step: a piece was recognised, or some audio was read that completes no piece.
    The segments do not depend on how the samples are divided into blocks.

    Args:
        cutter: a new one.
        recognize: recognises a piece.
        rule: of the cutter; at a cut inside speech two pieces share `lead` seconds of audio.
        channel: number in the segments; None for none.
    """

    def __init__(
        self, cutter: P, recognize: WindowRecognizer, *, rule: Rule, channel: int | None = None
    ) -> None:
        self.cutter = cutter
        self._recognize = recognize
        self._joiner = _Joiner(rule.lead)
        self._partial_samples = round(
            (rule.window - 1.0) * SAMPLE_RATE
        )  # a partial result reads no more
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
        """End the recording: the remaining steps, the last one without a piece."""
        for piece in self.cutter.finish():
            yield self._step(piece)
        yield self._named(self._stream.finish())

    def open(self) -> UnfinishedSpeech | None:
        """The audio that no final segment covers, for a partial result; None in silence."""
        samples = self.cutter.open()
        if not len(samples):
            return None
        kept, joiner = self._stream.words, replace(self._joiner)
        if len(samples) > self._partial_samples:  # speech without a pause: take its end only
            samples, kept, joiner = (
                samples[-self._partial_samples :],
                (),
                _Joiner(self._joiner.lead),
            )
        start = self.cutter.total - len(samples)
        return UnfinishedSpeech(samples, start, kept, joiner, self._channel)

    def _step(self, piece: Piece | None) -> list[Segment]:
        found: list[Segment] = []
        if piece is not None:
            words = self._recognize(piece.samples, piece.chunk.window.start)
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
class UnfinishedSpeech:
    """A snapshot of the audio that no segment covers yet; using it changes no later result.

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
        """The partial segment, given the words of `samples`; None if there are no words.

        The final segment may differ.
        """
        spoken = [*self._kept, *self._joiner.new(words)]
        if not spoken:
            return None
        start, end = round(spoken[0].start, 3), round(spoken[-1].end, 3)
        return Segment(start, max(start, end), text_of(spoken), channel=self._channel)


class DialogueMerger:
    """Merge the segments of several channels by start; equal ones by channel."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, int, Segment]] = []
        self._count = 0

    def push(self, segments: Iterable[Segment], frontiers: Sequence[float]) -> list[Segment]:
        """Take one channel's next segments; return those that no later segment can precede.

        Args:
            segments: of one channel, in its order.
            frontiers: of each channel, seconds (see `ChannelStream.frontier`).
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
        """The remaining segments, in order."""
        return [heapq.heappop(self._waiting)[-1] for _ in range(len(self._waiting))]


@dataclass(slots=True)
class _Joiner:
    """Words of consecutive pieces, each word once (see `glagol.speech.segmentation.overlap`)."""

    lead: float
    _seam: float | None = None
    _last: Word | None = None

    def new(self, words: Sequence[Word]) -> Sequence[Word]:
        """The words of the next piece that the piece before did not have."""
        return words if self._seam is None else after(words, self._seam, self._last)

    def words(self, chunk: Chunk, words: Sequence[Word]) -> list[Word]:
        """The words of the next piece that belong to its own part of the recording."""
        core, window = chunk.core, chunk.window
        kept = list(self.new(words) if window.start < core.start else words)
        self._seam = None
        if window.end > core.end:
            self._seam = seam_of(kept, core.end / SAMPLE_RATE, self.lead)
            kept = before(kept, self._seam)
        self._last = kept[-1] if kept else None
        return kept
