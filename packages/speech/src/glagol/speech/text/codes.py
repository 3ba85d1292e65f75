"""Telephones, codes, scores, and numbers one after another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from glagol.speech.text.amounts import SURE_FROM, near_thousands
from glagol.speech.text.lexicon import CARDINALS, PHONES, SECRETS
from glagol.speech.text.line import Found, Line, Piece
from glagol.speech.text.numerals import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.text.numerals import Item

__all__ = ["digits_of", "phone", "run", "score", "slashed"]

NATIONAL: Final = 11
_LOCAL: Final = {10: (3, 3, 2, 2), 7: (3, 2, 2), 6: (2, 2, 2), 5: (1, 2, 2)}
_CARD: Final = 16
_JOINED_FROM: Final = 4
_COUNTED_FROM: Final = 3


def phone(line: Line, at: int) -> Found | None:
    """A telephone's number: eleven digits from 7 or 8, or fewer after a word such as "телефон"."""
    plus = line.word(at) == "плюс" and not line.items[at].apart
    begin = at + plus
    end = begin
    while (item := line.number(end)) is not None and item.simple and item.scale == 1:
        end += 1
        if not _goes_on(line, item):
            break
    if end - begin < 2 or _counts([line.items[i].value for i in range(begin, end)]):
        return None
    start, stop = line.items[begin].start, line.items[end - 1].end
    values = [CARDINALS[line.tokens[i].text] for i in range(start, stop)]
    nulls = [line.tokens[i].text for i in range(start, stop)]
    named = line.near(at, PHONES, within=4)
    lengths = (NATIONAL, *(_LOCAL if named and not plus else ()))
    found = [digits_of(_unfolded(values, nulls), length) for length in lengths]
    good = [each for each in found if each is not None and (len(each[1]) < NATIONAL or each[1][0] in "78")]
    if not good:
        return None
    digits = min(good)[1]
    return Found((Piece(line.items[at].start, stop, _written(digits, plus=plus)),), end)


def _goes_on(line: Line, item: Item) -> bool:
    """Whether a group of digits may follow: nothing, or a comma, stands after this one."""
    last = line.tokens[item.end - 1]
    return not item.apart or last.tail == ","


def _unfolded(values: Sequence[int], words: Sequence[str]) -> tuple[int, ...]:
    """"два нуля" as two zeros."""
    found: list[int] = []
    for value, word in zip(values, words, strict=True):
        if word == "нуля" and found and found[-1] in (2, 3):
            found[-1:] = [0] * found[-1]
        else:
            found.append(value)
    return tuple(found)


def digits_of(values: tuple[int, ...], length: int) -> tuple[int, str] | None:
    """Spoken groups as `length` digits: the fewest groups, and the digits; None where none fits.

    Args:
        values: what each word means, 0..900.
        length: of the result.
    """

    @cache
    def best(at: int, left: int) -> tuple[int, str] | None:
        if at == len(values):
            return (0, "") if left == 0 else None
        found: tuple[int, str] | None = None
        total, room = 0, 1000
        for end in range(at, min(at + 3, len(values))):
            value = values[end]
            if value >= room or (value == 0 and end > at):
                break
            total += value
            text = str(total)
            rest = best(end + 1, left - len(text)) if len(text) <= left else None
            if rest is not None and (found is None or rest[0] + 1 <= found[0]):
                found = rest[0] + 1, text + rest[1]
            if value < 20:
                break
            room = 100 if value >= 100 else 10
        return found

    return best(0, length)


def _written(digits: str, *, plus: bool) -> str:
    head, rest = (digits[0], digits[1:]) if len(digits) == NATIONAL else ("", digits)
    parts, at = [head] if head else [], 0
    for size in _LOCAL[len(rest)]:
        parts.append(rest[at : at + size])
        at += size
    return ("+" if plus else "") + "-".join(parts)


def _counts(values: Sequence[int]) -> bool:
    """Whether numbers follow each other as when one counts."""
    steps = {b - a for a, b in zip(values, values[1:], strict=False)}
    return steps in ({1}, {-1})


def score(line: Line, at: int) -> Found | None:
    """"со счётом два один"."""
    first = line.number(at)
    second = line.next_number(at)
    if first is None or second is None or line.before(at) != "счетом":
        return None
    if max(first.value, second.value) > 99 or line.next_number(at + 1) is not None:
        return None
    return Found((line.piece(at, at + 1, f"{first.value}:{second.value}"),), at + 2)


def slashed(line: Line, at: int) -> Found | None:
    """"дом двадцать дробь три"."""
    first = line.number(at)
    if first is None or line.next_word(at) != "дробь":
        return None
    second = line.next_number(at + 1)
    if second is None:
        return None
    return Found((line.piece(at, at + 2, f"{first.value}/{second.value}"),), at + 3)


def run(line: Line, at: int) -> Found | None:
    """Numbers one after another: a code, "ten to fifteen", or several numbers."""
    end = at
    while (item := line.number(end)) is not None and item.scale == 1:
        end += 1
        if item.apart:
            break
    if end - at < 2:
        return None
    values = [line.items[i].value for i in range(at, end)]
    if all(value < 10 for value in values):
        return _code(line, at, end, values)
    if end - at == 2:
        return _nearly(line, at, values)
    if _counts(values):
        return Found((), end)
    return Found(tuple(line.piece(i, i, grouped(line.items[i].value)) for i in range(at, end)), end)


def _code(line: Line, at: int, end: int, values: Sequence[int]) -> Found:
    named = line.near(at, SECRETS, within=3)
    enough = len(values) >= (_COUNTED_FROM if named else _JOINED_FROM)
    if not enough or (_counts(values) and not named):
        return Found((), end)
    text = "".join(map(str, values))
    if len(text) == _CARD:
        text = "\u00a0".join(text[i : i + 4] for i in range(0, _CARD, 4))
    return Found((line.piece(at, end - 1, text),), end)


def _nearly(line: Line, at: int, values: Sequence[int]) -> Found | None:
    """Two numbers: "10-15 писем"; in words where one is small and they are no such pair."""
    first, second = line.items[at], line.items[at + 1]
    low, high = values
    if (text := near_thousands(first, second)) is not None and low >= SURE_FROM:
        return Found((Piece(first.start, second.end - 1, text),), at + 2)
    step = next(unit for unit in (1000, 100, 10, 5, 1) if low % unit == 0 and high % unit == 0)
    near = 0 < high - low <= 5 * step if step > 1 else high - low == 1
    if near and line.next_word(at + 1) and first.simple and second.simple:
        return Found((line.piece(at, at + 1, f"{low}-{high}"),), at + 2)
    return Found((), at + 2) if min(values) < SURE_FROM else None
