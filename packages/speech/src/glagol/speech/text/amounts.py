"""Whole numbers, decimals, per cent, measures, ranges."""

from __future__ import annotations

import re
from typing import Final

from glagol.speech.text.lexicon import (
    BARE,
    COLD,
    HALVES,
    IDIOMS,
    LABELS,
    OBLIQUE_MAGPIE,
    PERCENT,
    PLACES,
    SCALES,
    SQUARE,
    UNIT,
    WHOLES,
    words,
)
from glagol.speech.text.line import Found, Line, Piece
from glagol.speech.text.numerals import Item, grouped

__all__ = ["label", "pair", "quantity", "signed", "spread", "version"]

SURE_FROM: Final = 10
"""Smaller numbers stay words where nothing says that they are measured or counted exactly."""

_VERSION: Final = re.compile(r"верси(я|и|ю|ей)")
_WARMTH: Final = re.compile(r"температур(а|ы|е|у|ой)")
_AFTER_LABEL: Final = words("в на и а по для с от до или к у за")


def quantity(line: Line, at: int, *, small: bool = False) -> Found | None:
    """A number with what is measured by it.

    Args:
        line: the words.
        at: the first item.
        small: whether numbers below `SURE_FROM` are written in digits without a measure, too.
    """
    decimal = _decimal(line, at) or _half(line, at)
    if decimal is not None:
        text, end, sure = decimal
    else:
        item = line.number(at)
        if item is None or _is_idiom(line, at, item):
            return None
        text, end = grouped(item.value), at + 1
        sure = small or item.value >= SURE_FROM or item.scale > 1
    follows = line.next_word(end - 1)
    if PERCENT.fullmatch(follows):
        text, end, sure = f"{text}%", end + 1, True
    elif _measured(line, end):
        sure = True
    if not sure or (line.before(at) == "ни" and text.startswith("1")):
        return None
    if _is_bare(line, at, end) and not _measured(line, end):
        return None
    return Found((line.piece(at, end - 1, text),), end)


def _measured(line: Line, end: int) -> bool:
    """Whether a unit follows the item before `end`."""
    follows = line.next_word(end - 1)
    if SQUARE.fullmatch(follows):
        follows = line.next_word(end)
    return bool(UNIT.fullmatch(follows)) or bool(COLD.fullmatch(follows))


def _is_bare(line: Line, at: int, end: int) -> bool:
    """Whether the number is one word of a scale, "тысяча"; more than a thousand stay words."""
    item = line.items[at]
    return end - at == 1 and item.end - item.start == 1 and item.text in SCALES


def _is_idiom(line: Line, at: int, item: Item) -> bool:
    named = line.item(at + 1)
    if named is not None and not item.apart and any(p.fullmatch(named.text) for p in PLACES):
        return True  # "сорок одна десятая" may be 40,1
    if item.text in SCALES and item.value > 1_000_000 and 0 < item.value % 1_000_000 < 1000:
        return True  # "миллион триста" may be 1 300 000
    if item.end - item.start > 1:
        return False
    before, after = line.before(at), line.next_word(at)
    if item.text == "семью" or (item.text in BARE and item.value > 1000):
        return True
    if item.text == "сорока" and before not in OBLIQUE_MAGPIE:
        return not (UNIT.fullmatch(after) or PERCENT.fullmatch(after))
    return (before, item.text) in IDIOMS or (item.text, after) in IDIOMS


def _decimal(line: Line, at: int) -> tuple[str, int, bool] | None:
    """Text, next item and whether it is surely in digits: "три целых пять десятых"."""
    whole = line.number(at)
    if whole is None or not whole.simple or whole.apart:
        return None
    follows = line.next_word(at)
    if follows == "запятая":
        return _by_comma(line, at, whole)
    if follows in WHOLES:
        part = at + 3 if line.next_word(at + 1) == "и" else at + 2
    elif follows == "и":
        part = at + 2
    else:
        return None
    less = line.number(part)
    if less is None or line.items[part - 1].apart:
        return None
    named = line.item(part + 1)
    if named is not None and not less.apart:
        for digits, place in enumerate(PLACES, 1):
            if place.fullmatch(named.text) and named.end - named.start == 1:
                fits = less.value < 10**digits
                return (f"{whole.value},{less.value:0{digits}}", part + 2, True) if fits else None
    warm = line.near(at, _WARMTH, within=2) or COLD.fullmatch(line.next_word(part))
    if follows == "и" and warm and 30 <= whole.value <= 42 and 0 < less.value < 10:
        return f"{whole.value},{less.value}", part + 1, True
    return None


def _by_comma(line: Line, at: int, whole: Item) -> tuple[str, int, bool] | None:
    """Read "двадцать пять запятая ноль три"."""
    digits, end = "", at + 2
    while (part := line.next_number(end - 1)) is not None and part.simple:
        digits, end = digits + str(part.value), end + 1
        if part.value:
            break
    return (f"{whole.value},{digits}", end, True) if digits else None


def _half(line: Line, at: int) -> tuple[str, int, bool] | None:
    """Read "два с половиной" and "полтора"; thousands are multiplied, greater scales stay words."""
    whole = line.number(at)
    if line.word(at) in HALVES:
        value, end = 1, at + 1
    elif (
        whole is not None
        and whole.simple
        and line.next_word(at) == "с"
        and line.next_word(at + 1) == "половиной"
    ):
        value, end = whole.value, at + 3
    else:
        return None
    if line.items[end - 1].apart:
        return f"{value},5", end, value >= SURE_FROM
    scale = line.item(end)
    size = 0 if scale is None or scale.end - scale.start > 1 else SCALES.get(scale.text, 0)
    if size == 1000:
        return grouped(value * 1000 + 500), end + 1, True
    return f"{value},5", end, size > 0 or value >= SURE_FROM


def version(line: Line, at: int) -> Found | None:
    """Write "версия два точка ноль" with points."""
    first = line.number(at)
    if first is None or not _VERSION.fullmatch(line.before(at)):
        return None
    text, end = str(first.value), at + 1
    while line.next_word(end - 1) == "точка" and (part := line.next_number(end)) is not None:
        text, end = f"{text}.{part.value}", end + 2
    return Found((line.piece(at, end - 1, text),), end) if end > at + 1 else None


def signed(line: Line, at: int) -> Found | None:
    """Join sign and number to one word: "минус пять градусов"."""
    word = line.word(at)
    if word not in ("минус", "плюс") or line.items[at].apart or line.number(at - 1) is not None:
        return None
    found = quantity(line, at + 1)
    if found is None or not found.pieces:
        return None
    follows = line.next_word(found.end - 1)
    text = found.pieces[0].text
    if word == "плюс" and follows and not (COLD.fullmatch(follows) or text.endswith("%")):
        return None
    sign = "-" if word == "минус" else "+"
    first = found.pieces[0]
    piece = Piece(line.items[at].start, first.end, sign + text)
    return Found((piece, *found.pieces[1:]), found.end)


def spread(line: Line, at: int) -> Found | None:
    """Write both numbers of "от пяти до двадцати" in digits, or both in words."""
    pairs = {"от": ("до",), "с": ("до", "по"), "со": ("до", "по"), "между": ("и",)}
    joints = pairs.get(line.word(at), ())
    first = line.next_number(at)
    if first is None or line.next_word(at + 1) not in joints:
        return None
    return _both(line, at + 1, at + 3)


def pair(line: Line, at: int) -> Found | None:
    """Write "пять из двадцати" and "сто двадцать на восемьдесят" in digits."""
    if line.number(at) is None or line.next_word(at) not in ("из", "на"):
        return None
    return _both(line, at, at + 2)


def _both(line: Line, one: int, other: int) -> Found | None:
    """Two numbers that are compared: as soon as one of them is in digits, so is the other."""
    first, second = line.number(one), line.number(other)
    if first is None or second is None or line.items[other - 1].apart:
        return None
    if (shared := _of_thousands(first, second)) is not None:
        a = line.piece(one, one, str(first.value))
        return Found((a, Piece(second.start, second.end - 1, shared)), other + 1)
    found = [quantity(line, one), quantity(line, other)]
    if found[0] is not None and found[0].end != one + 1:
        return None
    if found[0] is None and found[1] is None:
        return None
    places = ((one, first), (other, second))
    for index, (place, item) in enumerate(places):
        if found[index] is None and item.value != 1:
            found[index] = quantity(line, place, small=True)
    pieces = tuple(piece for each in found if each is not None for piece in each.pieces)
    return Found(pieces, other + 1 if found[1] is None else found[1].end)


def _of_thousands(first: Item, second: Item) -> str | None:
    """The second number without its thousands, where the first means thousands as well."""
    thousands, rest = divmod(second.value, 1000)
    both = first.simple and not second.simple and second.end - second.start > 1
    fits = both and rest == 0 and first.value < thousands < 1000
    return str(thousands) if fits else None


def near_thousands(first: Item, second: Item) -> str | None:
    """As two numbers in thousands are written together: "20-30" of "двадцать тридцать тысяч"."""
    shared = _of_thousands(first, second)
    return None if shared is None else f"{first.value}-{shared}"


def label(line: Line, at: int) -> Found | None:
    """Write a small number that names something and counts nothing: "дом пять"."""
    item = line.number(at)
    if item is None or item.value in (0, 1) or not LABELS.fullmatch(line.before(at)):
        return None
    follows = line.next_word(at)
    if follows and follows not in _AFTER_LABEL and not LABELS.fullmatch(follows):
        return None
    if not item.apart and line.item(at + 1) is not None and not follows:
        return None
    return quantity(line, at, small=True)
