"""Telephones, codes, scores, and numbers one after another."""

from __future__ import annotations

from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from glagol.speech.text.amounts import SURE_FROM, near_thousands
from glagol.speech.text.lexicon import CARDINALS, MULTIPLIED, PHONES, SECRETS
from glagol.speech.text.line import Found, Line, Piece
from glagol.speech.text.numerals import grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.text.numerals import Item

__all__ = ["digits_of", "phone", "run", "score", "slashed"]

_FORMS: Final = ((1, 3, 3, 2, 2), (3, 3, 2, 2), (3, 2, 2), (2, 2, 2), (1, 2, 2))
"""Parts of a telephone's number: with the country, and what is dialled without it."""
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
        if not _continues(line, item):
            break
    if end - begin < 2 or _counts([line.items[i].value for i in range(begin, end)]):
        return None
    start, stop = line.items[begin].start, line.items[end - 1].end
    values = [CARDINALS[line.tokens[i].text] for i in range(start, stop)]
    nulls = [line.tokens[i].text for i in range(start, stop)]
    named = line.near(at, PHONES, within=4)
    forms = _FORMS if named and not plus else _FORMS[:1]
    found = [(digits_of(_unfolded(values, nulls), sizes), sizes) for sizes in forms]
    good = [(read, sizes) for read, sizes in found if read is not None and _dialled(read[2])]
    if not good:
        return None
    (_, _, digits), sizes = min(good)
    text = ("+" if plus else "") + "-".join(_parts(digits, sizes))
    return Found((Piece(line.items[at].start, stop, text),), end)


def _continues(line: Line, item: Item) -> bool:
    """Whether a group of digits may follow: nothing, or a comma, stands after this one."""
    last = line.tokens[item.end - 1]
    return not item.apart or last.tail == ","


def _unfolded(values: Sequence[int], words: Sequence[str]) -> tuple[int, ...]:
    """Read "два нуля" as two zeros."""
    found: list[int] = []
    for value, word in zip(values, words, strict=True):
        if word == "нуля" and found and found[-1] in (2, 3):
            found[-1:] = [0] * found[-1]
        else:
            found.append(value)
    return tuple(found)


def digits_of(values: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, int, str] | None:
    """Spoken groups as digits of a number that is written in parts.

    Args:
        values: what each word means, 0..900.
        sizes: digits of each part.

    Returns:
        How many groups were said, how many of them are in two parts, and the digits, of the reading
        with the fewest of both; None where none fits.
    """
    length, edges = sum(sizes), set(accumulate(sizes))

    @cache
    def best(at: int, begin: int) -> tuple[int, int, str] | None:
        if at == len(values):
            return (0, 0, "") if begin == length else None
        found: tuple[int, int, str] | None = None
        total, room = 0, 1000
        for end in range(at, min(at + 3, len(values))):
            value = values[end]
            if value >= room or (value == 0 and end > at):
                break
            total += value
            text = str(total)
            after = begin + len(text)
            rest = best(end + 1, after) if after <= length else None
            if rest is not None:
                crosses = any(begin < edge < after for edge in edges)
                reading = rest[0] + 1, rest[1] + crosses, text + rest[2]
                found = reading if found is None else min(found, reading)
            if value < 20:
                break
            room = 100 if value >= 100 else 10
        return found

    return best(0, 0)


def _dialled(digits: str) -> bool:
    return len(digits) < sum(_FORMS[0]) or digits[0] in "78"


def _parts(digits: str, sizes: tuple[int, ...]) -> list[str]:
    edges = [0, *accumulate(sizes)]
    return [digits[a:b] for a, b in pairwise(edges)]


def _counts(values: Sequence[int]) -> bool:
    """Whether numbers follow each other as when one counts."""
    steps = {b - a for a, b in pairwise(values)}
    return steps in ({1}, {-1})


def score(line: Line, at: int) -> Found | None:
    """Write "со счётом два один" with a colon."""
    first = line.number(at)
    second = line.next_number(at)
    if first is None or second is None or line.before(at) != "счетом":
        return None
    if max(first.value, second.value) > 99 or line.next_number(at + 1) is not None:
        return None
    return Found((line.piece(at, at + 1, f"{first.value}:{second.value}"),), at + 2)


def slashed(line: Line, at: int) -> Found | None:
    """Write "дом двадцать дробь три" with a stroke."""
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
    if line.items[at].text in MULTIPLIED:
        return Found((), end)
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
