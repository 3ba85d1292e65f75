"""Join two chunks that were cut inside speech.

Both sides have read the same audio around the cut, each with more context on its own side. The seam
goes between two words: of the left chunk's words near the cut, the place farthest from the middles
of its two neighbours. A word belongs to the side on which its middle lies, so a word that both
sides contain is kept once, and the frame of jitter that two decodings differ by moves no middle
across the seam.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Word

REACH = 0.6
"""Part of the common audio in which a seam is looked for; the rest has too little context."""

SAME_WORD = 0.5
"""Equal words that overlap by more than this part of the shorter one were spoken once."""


def middle(word: Word) -> float:
    """Middle of a word, seconds."""
    return (word.start + word.end) / 2


def seam_of(words: Sequence[Word], cut: float, lead: float) -> float:
    """Choose the seam.

    Args:
        words: of the left chunk, by rising time.
        cut: planned cut, seconds.
        lead: common audio on each side of it, seconds.

    Returns:
        A time within `REACH * lead` of the cut; the cut itself when no two words meet there.
    """
    best, widest = cut, 0.0
    for left, right in pairwise(words):
        place = (middle(left) + middle(right)) / 2
        distance = middle(right) - middle(left)
        if abs(place - cut) <= REACH * lead and distance > widest:
            best, widest = place, distance
    return best


def before(words: Sequence[Word], seam: float) -> list[Word]:
    """The left chunk's words up to the seam."""
    return [word for word in words if middle(word) < seam]


def after(words: Sequence[Word], seam: float, last: Word | None) -> list[Word]:
    """The right chunk's words from the seam on, without a second copy of the left's last word."""
    kept = [word for word in words if middle(word) >= seam]
    if kept and last is not None:
        common = min(kept[0].end, last.end) - max(kept[0].start, last.start)
        shorter = min(kept[0].end - kept[0].start, last.end - last.start)
        if kept[0].text == last.text and common > SAME_WORD * shorter:
            return kept[1:]
    return kept
