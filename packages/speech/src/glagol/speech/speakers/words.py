"""Words take their speakers: the largest overlap, small islands joined, segments split at changes.

Not the middle of a word decides but its whole span, so that a speaker whose turns are short is not
lost. Where two speakers take turns within less than a second, the borders of words and of turns
differ by more than an island lasts; so an island between two stretches of one other speaker joins
them, unless the turns say clearly that it is none.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from glagol.speech.types import Segment, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from glagol.speech.speakers.types import Spoken
    from glagol.speech.types import Word

__all__ = ["attributed"]

ISLAND_WORDS: Final = 2
ISLAND_S: Final = 0.8
DECISIVE: Final = 0.8
"""Share of an island's time in its own speaker's turns, and not the neighbour's, that keeps it."""


def attributed(segments: Iterable[Segment], turns: Sequence[Spoken]) -> tuple[Segment, ...]:
    """Name the speaker of every word and segment.

    Args:
        segments: of one channel, by rising time.
        turns: by start.

    Returns:
        The same words; a segment ends where the speaker changes. Without turns no speaker is named.
    """
    if not turns:
        return tuple(segments)
    clock = _Clock(turns)
    found: list[Segment] = []
    kept = list(segments)
    names = _smoothed(kept, clock)
    for segment in kept:
        if not segment.words:
            found.append(replace(segment, speaker=clock.speaker(segment.start, segment.end)))
            continue
        mine = [replace(word, speaker=names.pop(0)) for word in segment.words]
        found += [_segment(segment, list(run)) for _, run in groupby(mine, key=lambda w: w.speaker)]
    return tuple(found)


def _segment(whole: Segment, words: list[Word]) -> Segment:
    return replace(
        whole,
        start=words[0].start,
        end=words[-1].end,
        text=text_of(words),
        words=tuple(words),
        speaker=words[0].speaker,
    )


def _smoothed(segments: Sequence[Segment], clock: _Clock) -> list[str]:
    """The speaker of every word, islands joined to what surrounds them."""
    words = [word for segment in segments for word in segment.words]
    names = [clock.speaker(word.start, word.end) for word in words]
    runs: list[tuple[int, int]] = []
    for _, run in groupby(range(len(names)), key=names.__getitem__):
        places = list(run)
        runs.append((places[0], places[-1] + 1))
    for (first, end), after in pairwise(runs[1:]):
        around = names[first - 1]
        if around != names[after[0]] or end - first > ISLAND_WORDS:
            continue
        start_s, end_s = words[first].start, words[end - 1].end
        if end_s - start_s > ISLAND_S or clock.decisive(start_s, end_s, names[first], around):
            continue
        names[first:end] = [around] * (end - first)
    return names


class _Clock:
    """Who speaks at a time; each question looks at a few turns."""

    def __init__(self, turns: Sequence[Spoken]) -> None:
        self._turns = turns
        self._longest = max(turn.end - turn.start for turn in turns)

    def speaker(self, start: float, end: float) -> str:
        """The speaker with the largest part of [start, end], or else of the nearest turn."""
        shares = self._shares(start, end)
        if shares:
            return max(sorted(shares), key=lambda name: shares[name])
        middle = (start + end) / 2
        near = self._around(start - 60.0, end + 60.0) or self._turns
        return min(near, key=lambda t: (max(t.start - middle, middle - t.end), t.start)).speaker

    def decisive(self, start: float, end: float, mine: str, other: str) -> bool:
        """Whether the turns say clearly that `mine` speaks and `other` does not."""
        shares, length = self._shares(start, end), max(end - start, 1e-6)
        own, others = shares.get(mine, 0.0) / length, shares.get(other, 0.0) / length
        return own >= DECISIVE and others <= 1.0 - DECISIVE

    def _shares(self, start: float, end: float) -> dict[str, float]:
        """Seconds of each speaker within [start, end]; a moment counts as a millisecond."""
        end = max(end, start + 0.001)
        shares: dict[str, float] = {}
        for turn in self._around(start, end):
            seconds = min(end, turn.end) - max(start, turn.start)
            if seconds > 0:
                shares[turn.speaker] = shares.get(turn.speaker, 0.0) + seconds
        return shares

    def _around(self, start: float, end: float) -> Sequence[Spoken]:
        """Turns that may touch [start, end]."""
        first = self._at(start - self._longest)
        return self._turns[first : self._at(end)]

    def _at(self, time: float) -> int:
        """Index of the first turn that does not start before `time`."""
        return bisect_left(self._turns, time, key=lambda turn: turn.start)
