"""Words to segments: a segment ends at a pause, or at its widest gap when it grows too long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.types import Segment, Word, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

PAUSE_S = 0.8
LONGEST_S = 20.0


class SegmentStream:
    """Words of one recording in, segments out as soon as they are complete.

    Times are rounded to a millisecond and made monotone: no word starts before the one before it
    has ended (transducers may emit two words on one frame).
    """

    def __init__(self) -> None:
        self._words: list[Word] = []
        self._edge = 0.0
        self._settled = 0.0

    def push(self, words: Iterable[Word]) -> list[Segment]:
        """Take the next words; give the segments that they complete."""
        done = []
        for word in words:
            fitted = self._fit(word)
            if self._words and fitted.start - self._words[-1].end >= PAUSE_S:
                done.append(self._take(len(self._words)))
            self._words.append(fitted)
            if fitted.end - self._words[0].start > LONGEST_S:
                done.append(self._take(self._widest()))
        return done

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the segment that grows."""
        return tuple(self._words)

    @property
    def frontier(self) -> float:
        """No segment that is still to come starts before this, seconds."""
        return self._words[0].start if self._words else max(self._edge, self._settled)

    def settle(self, seconds: float) -> list[Segment]:
        """Learn that no later word starts before `seconds`; give the segment that this ends.

        It is the segment that `push` would give with the next word, only earlier.
        """
        self._settled = round(seconds, 3)
        if self._words and self._settled - self._words[-1].end >= PAUSE_S:
            return [self._take(len(self._words))]
        return []

    def finish(self) -> list[Segment]:
        """The last segment, if any."""
        return [self._take(len(self._words))] if self._words else []

    def _fit(self, word: Word) -> Word:
        start = round(max(word.start, self._edge), 3)
        end = round(max(word.end, start), 3)
        self._edge = end
        return replace(word, start=start, end=end, confidence=round(word.confidence, 3))

    def _widest(self) -> int:
        """Index of the word after the widest gap in the later half."""
        words = self._words
        places = range(max(1, len(words) // 2), len(words))
        return max(places, key=lambda at: words[at].start - words[at - 1].end, default=len(words))

    def _take(self, count: int) -> Segment:
        words, self._words = tuple(self._words[:count]), self._words[count:]
        return Segment(words[0].start, words[-1].end, text_of(words), words)
