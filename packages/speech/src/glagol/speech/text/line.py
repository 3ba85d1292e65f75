"""A line of words as rules look at it, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from glagol.speech.text.numerals import Item, Token, items

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

__all__ = ["Found", "Line", "Piece", "Rule"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens [start, end) that are written as one word."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule decided.

    Attributes:
        pieces: by place; tokens in none of them stay as they are.
        end: the item after the last that the rule decided about.
    """

    pieces: tuple[Piece, ...]
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens and their items; questions about places beyond either end have the answer no."""

    tokens: tuple[Token, ...]
    items: tuple[Item, ...]

    @classmethod
    def of(cls, tokens: Sequence[Token]) -> Line:
        """The line of these tokens."""
        return cls(tuple(tokens), tuple(items(tokens)))

    def item(self, at: int) -> Item | None:
        """The item at a place."""
        return self.items[at] if 0 <= at < len(self.items) else None

    def word(self, at: int) -> str:
        """The word at a place; empty where there is none, or a number."""
        item = self.item(at)
        return item.text if item is not None and item.kind == "word" else ""

    def number(self, at: int) -> Item | None:
        """The whole number at a place."""
        item = self.item(at)
        return item if item is not None and item.kind == "number" else None

    def ordinal(self, at: int) -> Item | None:
        """The ordinal at a place."""
        item = self.item(at)
        return item if item is not None and item.kind == "ordinal" else None

    def next_word(self, at: int) -> str:
        """The word after the item at a place, if nothing parts them."""
        item = self.item(at)
        return "" if item is None or item.apart else self.word(at + 1)

    def next_number(self, at: int) -> Item | None:
        """The whole number after the item at a place, if nothing parts them."""
        item = self.item(at)
        return None if item is None or item.apart else self.number(at + 1)

    def before(self, at: int) -> str:
        """The word before the item at a place, if nothing parts them."""
        item = self.item(at - 1)
        return "" if item is None or item.apart else self.word(at - 1)

    def near(self, at: int, pattern: re.Pattern[str], *, within: int) -> bool:
        """Whether one of the words before a place matches; the nearest is looked at first."""
        return any(
            pattern.fullmatch(self.word(place)) for place in range(at - 1, at - 1 - within, -1)
        )

    def piece(self, first: int, last: int, text: str) -> Piece:
        """Items [first, last] as one word."""
        return Piece(self.items[first].start, self.items[last].end, text)


Rule: TypeAlias = "Callable[[Line, int], Found | None]"
"""What is found at an item; None for nothing, no pieces where words shall stay words."""
