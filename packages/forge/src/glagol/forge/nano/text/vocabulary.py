"""The 34 letters the model writes, and greedy texts from its outputs."""

from __future__ import annotations

from collections.abc import Iterable

from glagol.forge.nano.text.dictionary import LETTERS

VOCABULARY = (" ", *LETTERS)
"""Space, а to я, ё; the blank comes after them."""

BLANK = len(VOCABULARY)
NUM_CLASSES = BLANK + 1
_NUMBERS = {letter: number for number, letter in enumerate(VOCABULARY)}


def encode(text: str) -> list[int]:
    """Return the class numbers of a target text. Raises KeyError on a foreign sign."""
    return [_NUMBERS[letter] for letter in text]


def decode(symbols: Iterable[int]) -> str:
    """Return the text of class numbers, blanks left out, spaces single and inner only."""
    letters = "".join(VOCABULARY[symbol] for symbol in symbols if symbol != BLANK)
    return " ".join(letters.split())


def collapse(frames: Iterable[int]) -> str:
    """Return the CTC text of the best class per frame: runs once, blanks dropped."""
    kept = []
    previous = BLANK
    for symbol in frames:
        if symbol not in (previous, BLANK):
            kept.append(symbol)
        previous = symbol
    return decode(kept)
