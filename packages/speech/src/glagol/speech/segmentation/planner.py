"""Where a long recording is cut for the encoder.

An encoder reads windows of a bounded length, and is best when they are well filled but not full.
The lengths here are for 25 s, where upstream's long form packs the same way; other windows have
them in proportion. Rules, for one chunk that starts at `open`:

1. silence longer than `keep_gap` ends the chunk; all but a margin of it is dropped;
2. else the chunk is cut when `longest` is full, in this order of preference:
   the widest silence of at least `safe_gap` between `shortest` and `longest`,
   the latest such silence before that (from `earliest`),
   inside speech, where the voice is weakest: there both neighbours read `lead` of common audio
   beyond the cut, and `glagol.speech.segmentation.overlap` decides word by word;
3. every sample is in exactly one chunk's core or dropped.

The planner sees the recording as a stream. It decides only what later audio cannot change, so a
plan does not depend on the size of the blocks that came in.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.types import SAMPLE_RATE, Array, Span
from glagol.speech.vad.model import FRAME, Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WINDOW_MIN_S = 5.0
"""Shorter windows leave no room for margins and common audio."""

SMOOTHING = 5
"""Frames averaged before the weakest is looked for: 160 ms outlasts the closure of a plosive."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Lengths that shape a plan, seconds.

    Attributes:
        shortest: a silence after this much is a good place to cut.
        longest: no core is longer.
        earliest: no cut at a silence before this.
        in_speech: no cut inside speech before this.
        keep_gap: longer silence is dropped.
        safe_gap: shorter silence may be inside a word.
        margin: kept around speech; voice detection starts late and stops early.
        lead: common audio on both sides of a cut inside speech.
    """

    shortest: float = 15.0
    longest: float = 23.0
    earliest: float = 5.0
    in_speech: float = 17.0
    keep_gap: float = 1.5
    safe_gap: float = 0.4
    margin: float = 0.3
    lead: float = 1.0

    @classmethod
    def for_window(cls, window_s: float, *, overlap: bool = True) -> Rule:
        """The rule for an engine that reads `window_s` seconds.

        Args:
            window_s: longest audio that it reads, seconds.
            overlap: whether neighbours read common audio at cuts inside speech; that needs words
                with times.

        Raises:
            ValueError: the window is shorter than `WINDOW_MIN_S`.
        """
        if window_s < WINDOW_MIN_S:
            raise ValueError(f"a window of {window_s} s is below {WINDOW_MIN_S} s")
        usual = cls()
        lead = usual.lead if overlap else 0.0
        longest = window_s - 2 * lead
        part = longest / usual.longest
        return cls(
            shortest=usual.shortest * part,
            longest=longest,
            earliest=usual.earliest * part,
            in_speech=usual.in_speech * part,
            lead=lead,
        )

    def samples(self, name: str) -> int:
        """One of the lengths in samples."""
        seconds: float = getattr(self, name)
        return round(seconds * SAMPLE_RATE)

    @property
    def window(self) -> float:
        """Longest audio that the encoder reads under this rule, seconds."""
        return self.longest + 2 * self.lead


@dataclass(frozen=True, slots=True)
class Chunk:
    """Audio for one encoder call.

    Attributes:
        core: the samples that this chunk answers for.
        window: the samples that are read; wider than the core at cuts inside speech.
        pause: whether a silence follows that is longer than `Rule.keep_gap`, or the end.
    """

    core: Span
    window: Span
    pause: bool = False


class Planner:
    """Speech spans in, chunks out.

    Attributes:
        decoded: samples in the cores of the chunks given out.
        dropped: samples dropped as silence; with `decoded` it adds up to the recording at the end.
    """

    def __init__(self, rule: Rule) -> None:
        self._longest, self._shortest = rule.samples("longest"), rule.samples("shortest")
        self._earliest, self._in_speech = rule.samples("earliest"), rule.samples("in_speech")
        self._keep_gap, self._safe_gap = rule.samples("keep_gap"), rule.samples("safe_gap")
        self._margin, self._lead = rule.samples("margin"), rule.samples("lead")
        self._horizon = self._longest + max(self._lead, self._keep_gap) + self._margin
        self._position = 0  # everything before is in a core or dropped
        self._open = False  # a chunk starts at the position
        self._inside = False  # ... inside speech
        self._spans: deque[Span] = deque()
        self._weakness = _Weakness()
        self.decoded = 0
        self.dropped = 0

    @property
    def settled(self) -> int:
        """Samples before this position are in the core of a chunk or dropped."""
        return self._position

    @property
    def speaking(self) -> bool:
        """Whether a chunk has begun that is not given out yet."""
        return self._open

    @property
    def needed(self) -> int:
        """First sample that a later chunk may read."""
        return max(0, self._position - (self._lead if self._inside else 0))

    def observe(self, activity: Activity) -> None:
        """Take the measures of the next frames; needed before their samples are settled."""
        self._weakness.append(activity)

    def advance(self, spans: Iterable[Span], settled: int) -> Iterator[Chunk]:
        """Take the next spans, knowing that no other starts before `settled`; give chunks."""
        self._spans.extend(spans)
        while (chunk := self._next(settled, final=False)) is not None:
            yield chunk
        self._weakness.forget(self._position)

    def finish(self, spans: Iterable[Span], total: int) -> Iterator[Chunk]:
        """Take the last spans of a recording of `total` samples; give the remaining chunks."""
        self._spans.extend(spans)
        while (chunk := self._next(total, final=True)) is not None:
            yield chunk
        self._drop(total)

    def _next(self, settled: int, *, final: bool) -> Chunk | None:
        while self._spans and self._spans[0].end <= self._position:
            self._spans.popleft()
        if not self._open:
            if not self._spans:
                self._drop(settled - self._margin)
                return None
            self._drop(self._spans[0].start - self._margin)
            self._open = True
        if not self._spans:  # the cut fell behind the last speech
            self._open = self._inside = False
            return self._next(settled, final=final)
        pause = self._pause(settled, final=final)
        if pause is not None:
            return replace(self._close(min(pause + self._margin, settled)), pause=True)
        if settled - self._position >= self._horizon or final:
            return self._cut(min(settled, self._position + self._horizon))
        return None

    def _pause(self, settled: int, *, final: bool) -> int | None:
        """Where speech ends before a dropped silence, if that is near enough for this chunk."""
        for index, span in enumerate(self._spans):
            if span.end + self._margin - self._position > self._longest:
                return None
            last = index + 1 == len(self._spans)
            until = settled if last else self._spans[index + 1].start
            if until - span.end > self._keep_gap or (last and final):
                return span.end
        return None

    def _cut(self, horizon: int) -> Chunk:
        """The best place to cut a full chunk, looking no further than the horizon."""
        late: list[Span] = []
        early: list[Span] = []
        for gap in self._gaps(horizon):
            end = self._end_in(gap) - self._position
            if len(gap) >= self._safe_gap and self._earliest <= end <= self._longest:
                (late if end >= self._shortest else early).append(gap)
        if late:
            return self._close(self._end_in(max(late, key=lambda gap: (len(gap), gap.start))))
        if early:
            return self._close(self._end_in(early[-1]))
        where = Span(self._position + self._in_speech, min(self._position + self._longest, horizon))
        cut = self._weakness.weakest(where)
        return self._close(cut, overlap=min(self._lead, horizon - cut))

    def _gaps(self, horizon: int) -> Iterator[Span]:
        """Silences that start before the horizon, clipped to it."""
        edges = [*((span.start, span.end) for span in self._spans), (horizon, horizon)]
        for (_, start), (end, _) in pairwise(edges):
            if start < min(end, horizon):
                yield Span(start, min(end, horizon))

    def _end_in(self, gap: Span) -> int:
        """End of a chunk that stops in this silence: a margin after speech, at most the middle."""
        return min(gap.start + self._margin, (gap.start + gap.end) // 2)

    def _close(self, end: int, overlap: int = 0) -> Chunk:
        """The chunk that ends here; with an overlap the next one starts here, inside speech."""
        core = Span(self._position, end)
        window = Span(self.needed, end + overlap)
        self._position = end
        self._open = self._inside = overlap > 0
        self.decoded += len(core)
        return Chunk(core, window)

    def _drop(self, until: int) -> None:
        self.dropped += max(0, until - self._position)
        self._position = max(self._position, until)


class _Weakness:
    """How strong the voice is, by frame: speech probability plus level (40 dB count like 1)."""

    def __init__(self) -> None:
        self._strength: Array = np.zeros(0, np.float32)
        self._first = 0  # frame index of the first entry

    def append(self, activity: Activity) -> None:
        level = np.log10(np.maximum(activity.levels, np.float32(1e-10))) / np.float32(4)
        self._strength = np.concatenate([self._strength, activity.probabilities + level])

    def forget(self, position: int) -> None:
        """Let go of frames that lie well before a position."""
        count = max(0, position // FRAME - SMOOTHING - self._first)
        self._strength = self._strength[count:]
        self._first += count

    def weakest(self, where: Span) -> int:
        """Middle of the frame inside `where` around which the voice is weakest."""
        first, last = -(-where.start // FRAME), where.end // FRAME
        half = SMOOTHING // 2
        around = self._strength[first - half - self._first : last + half - self._first]
        smooth = np.convolve(around, np.full(SMOOTHING, 1 / SMOOTHING, np.float32), "valid")
        return (first + int(smooth.argmin())) * FRAME + FRAME // 2


class PlanDigest:
    """SHA-256 of a plan, fed chunk by chunk: one line of four sample positions for each."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, chunk: Chunk) -> None:
        """Add the next chunk."""
        core, window = chunk.core, chunk.window
        self._hash.update(f"{core.start} {core.end} {window.start} {window.end}\n".encode())

    def finish(self, total: int) -> str:
        """Digest of the chunks and the number of samples, lower-case hexadecimal."""
        self._hash.update(f"{total}\n".encode())
        return self._hash.hexdigest()


def combined(plans: Sequence[str]) -> str:
    """Digest of the plans of several channels: a line with number and digest for each."""
    lines = "".join(f"{channel} {plan}\n" for channel, plan in enumerate(plans))
    return hashlib.sha256(lines.encode()).hexdigest()
