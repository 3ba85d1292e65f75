"""Times for a segment's words after a person has changed its text.

Words that are still there keep their times. A run of changed words shares the time of the run that
it replaces, by the number of letters; what was inserted where nothing was shares the pause there.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import accumulate
from typing import TYPE_CHECKING

from glagol.gateway.library.document import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["retimed"]


def retimed(
    words: Sequence[Word], tokens: Sequence[str], start_ms: int, end_ms: int
) -> tuple[Word, ...]:
    """Give each token of the new text its time.

    Args:
        words: Of the segment before; times rise.
        tokens: Of the new text, without empty ones.
        start_ms: Where the segment begins.
        end_ms: Where it ends.

    Returns:
        One word for each token. Times rise and lie in [start_ms, end_ms]; a word that the texts
        have in common is unchanged.
    """
    made: list[Word] = []
    matcher = SequenceMatcher(None, [word.text for word in words], list(tokens), autojunk=False)
    for kind, first, last, low, high in matcher.get_opcodes():
        if kind == "equal":
            made.extend(words[first:last])
        elif high > low:
            before = words[first - 1].end_ms if first else start_ms
            after = words[last].start_ms if last < len(words) else end_ms
            if last > first:  # the time of the words that were replaced
                before, after = words[first].start_ms, words[last - 1].end_ms
            made.extend(_shared(tokens[low:high], before, max(before, after)))
    return tuple(made)


def _shared(tokens: Sequence[str], start_ms: int, end_ms: int) -> list[Word]:
    """Divide a time among tokens by their letters."""
    lengths = [max(1, len(token)) for token in tokens]
    total = sum(lengths)
    ends = [start_ms + (end_ms - start_ms) * sum_ // total for sum_ in accumulate(lengths)]
    starts = [start_ms, *ends[:-1]]
    return [
        Word(token, start, end, None, "person")
        for token, start, end in zip(tokens, starts, ends, strict=True)
    ]
