"""Speech probabilities to spans, one probability at a time.

The hysteresis of `get_speech_timestamps_from_probs` (`silero_vad/utils_vad.py`, silero-vad 6.2.3),
which reads the whole recording, as a machine that gives a span out as soon as nothing that follows
can change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.types import SAMPLE_RATE, Span
from glagol.speech.vad.model import FRAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.speech.vad.config import Vad

PER_MS = SAMPLE_RATE // 1000


class SpanMachine:
    """Probabilities to padded speech spans, equal to upstream's offline function.

    Raw spans come from `_step`; `_accept` pads them. Upstream pads a span by `speech_pad_ms` on
    both sides, or by half of the silence where two spans are nearer than two pads. So the end of an
    accepted span waits in `_last` until the start of the next one can no longer come that near, or
    is certain to become one.
    """

    def __init__(self, parameters: Vad) -> None:
        self._high = parameters.threshold
        self._low = parameters.neg_threshold
        self._pad = parameters.speech_pad_ms * PER_MS
        self._min_speech = parameters.min_speech_ms * PER_MS
        self._min_silence = parameters.min_silence_ms * PER_MS
        self._min_cut = parameters.min_silence_at_max_speech_ms * PER_MS
        self._max_speech = parameters.max_speech_s * SAMPLE_RATE - FRAME - 2 * self._pad
        self._now = 0
        self._start: int | None = None  # of the speech that runs
        self._left: int | None = None  # the same padded, once it is certain to become a span
        self._silence: int | None = None  # where it fell below the low threshold
        self._longest: Span | None = None  # silence inside it
        self._last: Span | None = None  # accepted, left end padded, right end not yet
        self._out: list[Span] = []

    @property
    def speaking(self) -> bool:
        """Whether a span has begun that is not given out yet."""
        return self._start is not None or self._last is not None

    @property
    def settled(self) -> int:
        """Samples before this position are in a span given out, or in none."""
        if self._left is not None:
            return self._left
        if self._last is not None:
            return self._last.start
        edge = self._now if self._start is None else self._start
        return max(0, edge - self._pad)

    def push(self, probabilities: Iterable[float]) -> list[Span]:
        """Take the next frames' probabilities; give the spans that are final now, in order."""
        for probability in probabilities:
            self._step(probability)
            self._now += FRAME
            self._release()
        out, self._out = self._out, []
        return out

    def finish(self, total: int) -> list[Span]:
        """End of a recording of `total` samples: the remaining spans."""
        if self._start is not None and total - self._start > self._min_speech:
            self._accept(Span(self._start, total))
        self._start = None
        self._now = total
        if self._last is not None:
            self._emit(min(total, self._last.end + self._pad))
        out, self._out = self._out, []
        return out

    def _step(self, probability: float) -> None:
        now = self._now
        if probability >= self._high:
            self._resume(now)
            if self._start is None:
                self._start = now
                return
        if self._start is not None and now - self._start > self._max_speech and self._cut(now):
            return
        if self._start is None or probability >= self._low:
            return
        if self._silence is None:
            self._silence = now
        if now - self._silence >= self._min_silence:
            if self._silence - self._start > self._min_speech:
                self._accept(Span(self._start, self._silence))
            self._start = self._silence = self._longest = None

    def _resume(self, now: int) -> None:
        """Speech continues: remember the silence that just ended if it is the longest."""
        if self._silence is None:
            return
        silence = Span(self._silence, now)
        longest = 0 if self._longest is None else len(self._longest)
        if len(silence) > max(self._min_cut, longest):
            self._longest = silence
        self._silence = None

    def _cut(self, now: int) -> bool:
        """Speech is too long: cut at its longest silence, else here. True when it ends here."""
        assert self._start is not None  # noqa: S101 - the caller has looked
        self._silence = None
        if self._longest is None:
            self._accept(Span(self._start, now))
            self._start = None
            return True
        self._accept(Span(self._start, self._longest.start))
        self._start, self._longest = self._longest.end, None
        return False

    def _accept(self, span: Span) -> None:
        left = self._begin(span.start) if self._left is None else self._left
        self._left = None
        self._last = Span(left, span.end)

    def _begin(self, start: int) -> int:
        """Pad the start of a span, and with it the end of the one before."""
        if self._last is None:
            return max(0, start - self._pad)
        half = (start - self._last.end) // 2  # nearer than two pads, or `_release` had given it out
        self._emit(self._last.end + half)
        return start - half

    def _release(self) -> None:
        """Give the last span out once no later speech can be nearer than two pads, or one is."""
        edge = self._now - FRAME if self._start is None else self._start
        if self._last is not None and edge - self._last.end >= 2 * self._pad:
            self._emit(self._last.end + self._pad)
        if self._start is not None and self._left is None and self._silence is None:
            spoken = self._now - FRAME - self._start  # the last frame may be filled with zeros
            if spoken > self._min_speech:
                self._left = self._begin(self._start)

    def _emit(self, end: int) -> None:
        assert self._last is not None  # noqa: S101 - the callers have looked
        self._out.append(Span(self._last.start, end))
        self._last = None
