"""Words to items: whole numbers, ordinals, and words that are neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from glagol.speech.text.lexicon import BARE, CARDINALS, ORDINALS, SCALES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Item", "Token", "grouped", "items", "token"]

_SPLIT: Final = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
_GROUPED_FROM: Final = 10_000
_NO_BREAK: Final = "\u00a0"


@dataclass(frozen=True, slots=True)
class Token:
    """A word as rules see it.

    Attributes:
        text: in lower case, with е for ё, without what stands around it.
        head: what stands before it, such as a quotation mark.
        tail: what stands after it, such as a comma; a number ends there.
        apart: whether no number continues from it to the next word.
    """

    text: str
    head: str = ""
    tail: str = ""
    apart: bool = False


def token(word: str, *, apart: bool = False) -> Token:
    """A word with its punctuation taken off."""
    found = _SPLIT.match(word)
    assert found is not None  # noqa: S101 - it matches everything
    head, text, tail = found.groups()
    return Token(text.lower().replace("ё", "е"), head, tail, apart or bool(tail))


@dataclass(frozen=True, slots=True)
class Item:
    """Tokens [start, end) that mean one thing.

    Attributes:
        kind: a whole number, an ordinal, or another word.
        start: first token.
        end: the token after the last.
        text: of the first token.
        value: of a number.
        ending: what follows an ordinal's digits: "й", "го".
        apart: whether punctuation or another speaker follows.
        scale: of a round number the word that is the next item: "five" of "five million" has
            a million here. 1 for other numbers.
        simple: whether it is below a thousand, without a word of a scale.
    """

    kind: Literal["number", "ordinal", "word"]
    start: int
    end: int
    text: str
    value: int = 0
    ending: str = ""
    apart: bool = False
    scale: int = 1
    simple: bool = True


def items(tokens: Sequence[Token]) -> list[Item]:
    """All tokens as items, in order, none left out."""
    found: list[Item] = []
    at = 0
    while at < len(tokens):
        item = _ordinal(tokens, at) or _number(tokens, at) or _word(tokens, at)
        found.append(item)
        at = item.end
        if item.scale > 1:
            found.append(_word(tokens, at))
            at += 1
    return found


def grouped(value: int) -> str:
    """Digits of a number, from five on in groups of three between no-break spaces."""
    text = f"{value:,}" if value >= _GROUPED_FROM else str(value)
    return text.replace(",", _NO_BREAK)


def _word(tokens: Sequence[Token], at: int) -> Item:
    return Item("word", at, at + 1, tokens[at].text, apart=tokens[at].apart)


def _number(tokens: Sequence[Token], at: int) -> Item | None:
    found = _cardinal(tokens, at)
    if found is None:
        return None
    value, end = found
    text = tokens[at].text
    scale = SCALES.get(tokens[end - 1].text, 1)
    if scale > 1000 and end - at > 1 and value % scale == 0 and value // scale < 1000:
        # "5 миллионов": digits, and the word
        return Item("number", at, end - 1, text, value // scale, scale=scale)
    simple = all(tokens[i].text not in SCALES for i in range(at, end))
    return Item("number", at, end, text, value, apart=tokens[end - 1].apart, simple=simple)


def _ordinal(tokens: Sequence[Token], at: int) -> Item | None:
    """An ordinal of one word, or the number before it and its last word: "двадцать первый"."""
    alone = ORDINALS.get(tokens[at].text)
    if alone is not None:
        return Item("ordinal", at, at + 1, tokens[at].text, *alone, apart=tokens[at].apart)
    found = _cardinal(tokens, at)
    if found is None:
        return None
    value, end = found
    if end == len(tokens) or tokens[end - 1].apart:
        return None
    last = ORDINALS.get(tokens[end].text)
    if last is None or not _joins(value, last[0]):
        return None
    text, apart = tokens[at].text, tokens[end].apart
    return Item("ordinal", at, end + 1, text, value + last[0], last[1], apart)


def _joins(value: int, less: int) -> bool:
    """Whether a number's last place leaves room for `less`: 20 for 1, 1900 for 45."""
    if less >= 1000:
        return False
    room = 10 if less < 10 else 100 if less < 100 else 1000
    return value > 0 and value % room == 0 and not (less < 10 and value % 100 == 10)


def _cardinal(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """The longest number that begins at `at`: its value and the token after it."""
    total, end, least = 0, at, 10**15
    while end < len(tokens) and not (end > at and tokens[end - 1].apart):
        group, after = _below_thousand(tokens, end)
        scale = 0
        if after < len(tokens) and (after == end or not tokens[after - 1].apart):
            scale = SCALES.get(tokens[after].text, 0)
        if group == 0 or (scale and scale >= least):
            break  # zero goes with nothing
        if not scale:
            if group is not None and least > 1:
                total, end = total + group, after
            break
        if group is None and not _stands_alone(tokens, end, first=end == at):
            break
        total, end, least = total + (1 if group is None else group) * scale, after + 1, scale
    if end > at:
        return total, end
    return (0, at + 1) if CARDINALS.get(tokens[at].text) == 0 else None


def _stands_alone(tokens: Sequence[Token], at: int, *, first: bool) -> bool:
    """Whether a scale without a number before it counts as one of it."""
    if not first or tokens[at].text in BARE:
        return True
    if tokens[at].apart or at + 1 == len(tokens):
        return False
    return bool(_below_thousand(tokens, at + 1)[0])


def _below_thousand(tokens: Sequence[Token], at: int) -> tuple[int | None, int]:
    """Hundreds, tens and ones from `at` on: the value, None where there is none, and the end."""
    value, end, room = 0, at, 1000
    while end < len(tokens) and not (end > at and tokens[end - 1].apart):
        part = CARDINALS.get(tokens[end].text)
        if part is None or (part == 0 and end > at):
            break
        if part == 0:
            return 0, end + 1
        if part >= room:
            break
        value, end = value + part, end + 1
        room = 100 if part >= 100 else 10 if part >= 20 else 1
    return (value, end) if end > at else (None, at)
