"""Inverse text normalisation of Russian: spoken numbers as digits.

The rules are our own and read words alone. What may mean something else stays in words; words that
are no part of a number are never touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from glagol.speech.text import amounts, calendar, codes
from glagol.speech.text.line import Line, Piece, Rule
from glagol.speech.text.numerals import token
from glagol.speech.types import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Word

__all__ = ["LANGUAGES", "RULES_VERSION", "in_digits"]

RULES_VERSION: Final = 1
"""Goes up whenever a rule changes what is written."""

LANGUAGES: Final = frozenset({"ru", "und"})
"""Languages of transcripts that the rules are for; und is what an engine without one gives."""

_RULES: Final[tuple[Rule, ...]] = (
    codes.phone,
    calendar.numeric_date,
    codes.score,
    codes.slashed,
    amounts.spread,
    calendar.clock,
    calendar.duration,
    calendar.date,
    calendar.years,
    calendar.ordinal,
    amounts.version,
    amounts.signed,
    amounts.pair,
    codes.run,
    amounts.label,
    amounts.quantity,
)


def in_digits(words: Sequence[Word]) -> tuple[Word, ...]:
    """Words with their numbers in digits.

    A word that stands for several has the start of the first, the end of the last, the lowest
    confidence, and what was said in `spoken`. All other words are the same.

    Args:
        words: of one segment, by time.
    """
    found: list[Word] = []
    at = 0
    for piece in _pieces(words):
        found += words[at : piece.start]
        found.append(_written(words[piece.start : piece.end], piece.text))
        at = piece.end
    return (*found, *words[at:])


def _pieces(words: Sequence[Word]) -> list[Piece]:
    """What is written otherwise, by place."""
    line = Line.of(
        [
            token(word.text, apart=at + 1 < len(words) and words[at + 1].speaker != word.speaker)
            for at, word in enumerate(words)
        ]
    )
    found: list[Piece] = []
    at = 0
    while at < len(line.items):
        decided = next((each for rule in _RULES if (each := rule(line, at))), None)
        if decided is None:
            at += 1
            continue
        found += decided.pieces
        at = decided.end
    return found


def _written(words: Sequence[Word], text: str) -> Word:
    first, last = token(words[0].text), token(words[-1].text)
    return replace(
        words[0],
        end=words[-1].end,
        text=first.head + text + last.tail,
        confidence=min(word.confidence for word in words),
        spoken=text_of(words),
    )
