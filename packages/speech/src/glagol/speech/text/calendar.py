"""Write spoken Russian ordinals, dates, years, durations and times of day in digits.

Each function looks at the words of `line` from the item `at` on. It returns the pieces to write and
the item after them, or None if the rule does not apply. `Found` without pieces leaves the words as
they are.
"""

from __future__ import annotations

from typing import Final

from glagol.speech.text.lexicon import COUNTED, DAYPARTS, MONTHS, PERCENT, UNIT, YEAR, YEARS, words
from glagol.speech.text.line import Found, Line
from glagol.speech.text.numerals import Item, grouped

__all__ = ["clock", "date", "duration", "numeric_date", "ordinal", "years"]

_DAYS: Final = 31
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 2999
_AT: Final = words("в во к ко до с со после")
_HOUR: Final = words("час часа часов часам часах часу")
_MINUTE: Final = words("минута минуты минут минуту минутам минутах")
_MONTH_DAY: Final = words("число числа числу числом числе")
_BETWEEN_DAYS: Final = words("и или по до на")
_OF_DAYS: Final = frozenset(["го", "е", "му", "м"])
_NOMINATIVE: Final = words("два три четыре пять шесть семь восемь девять")
_FRACTIONS: Final = frozenset([100, 1000])


def numeric_date(line: Line, at: int) -> Found | None:
    """Write day, month and year: "двадцать первое ноль третье две тысячи двадцать шестого".

    The result is "21.03.2026".
    """
    day = _day(line, at)
    if day is None or day.apart:
        return None
    zero = line.number(at + 1)
    month_at = at + 2 if zero is not None and zero.value == 0 and not zero.apart else at + 1
    month, year = line.ordinal(month_at), line.ordinal(month_at + 1)
    if month is None or year is None or month.apart or not 1 <= month.value <= 12:
        return None
    if not _is_year(year):
        return None
    text = f"{day.value:02}.{month.value:02}.{year.value}"
    return Found((line.piece(at, month_at + 1, text),), month_at + 2)


def date(line: Line, at: int) -> Found | None:
    """Write days: "двадцать первого марта", "с первого по пятое мая", "первого и второго июня"."""
    day = _day(line, at)
    if day is None or day.apart:
        return None
    piece = line.piece(at, at, str(day.value))
    if line.next_word(at) in MONTHS:
        return Found((piece,), at + 2)
    if line.next_word(at) not in _BETWEEN_DAYS or line.items[at + 1].apart:
        return None
    other = date(line, at + 2)
    return None if other is None else Found((piece, *other.pieces), other.end)


def years(line: Line, at: int) -> Found | None:
    """Write a year before the word "год", or two years before one: "2026 году"."""
    item = line.ordinal(at)
    if item is None or item.apart or not _is_year(item):
        return None
    bare = line.piece(at, at, str(item.value))
    follows = line.next_word(at)
    if follows in YEAR:
        return Found((bare,), at + 2)
    if follows in _BETWEEN_DAYS and not line.items[at + 1].apart:
        other = line.ordinal(at + 2)
        if other is not None and _is_year(other) and line.next_word(at + 2) in YEAR:
            return Found((bare, line.piece(at + 2, at + 2, str(other.value))), at + 4)
    return None


def ordinal(line: Line, at: int) -> Found | None:
    """Write any other ordinal from 10 on with its ending: "21-го"; below 10 only before "число"."""
    item = line.ordinal(at)
    if item is None:
        return None
    follows = line.next_word(at)
    alone = item.end - item.start == 1
    if item.value < 10:
        sure = follows in _MONTH_DAY
    elif follows in ("раз", "раза"):
        sure = False
    elif item.value == 10 and alone:
        sure = item.ending in ("й", "го", "му", "м") or follows in YEARS
    else:
        sure = not (alone and item.value in _FRACTIONS)
    text = f"{item.value}-{item.ending}"
    return Found((line.piece(at, at, text),) if sure else (), at + 1)


def clock(line: Line, at: int) -> Found | None:
    """Write times: "в девять тридцать", "девять тридцать утра", "до шести вечера"."""
    if line.word(at) == "без":
        return _before_hour(line, at)
    if line.number(at) is not None and line.next_word(at) in _MINUTE:
        return _of_hour(line, at)
    timed = line.word(at) in _AT and not line.items[at].apart
    return _timed(line, at + 1) if timed else _by_daypart(line, at)


def _before_hour(line: Line, at: int) -> Found | None:
    """Leave "без двадцати пять" as words: the hour would have to be computed."""
    minutes = line.next_number(at)
    if minutes is None or minutes.value > 30:
        return None
    last = line.tokens[minutes.end - 1].text
    if minutes.end - minutes.start == 2 and last in _NOMINATIVE:
        return Found((), at + 2)  # "(без) двадцати пять" is twenty to five and not 25
    hour = at + 3 if line.next_word(at + 1) in _MINUTE else at + 2
    other = line.number(hour)
    return Found((), hour + 1) if other is not None and 1 <= other.value <= 12 else None


def _of_hour(line: Line, at: int) -> Found | None:
    """Leave "двадцать минут шестого" as words."""
    hour = line.ordinal(at + 2)
    half_day = hour is not None and hour.value <= 12 and hour.ending == "го"
    return Found((), at + 3) if half_day and not line.items[at + 1].apart else None


def duration(line: Line, at: int) -> Found | None:
    """Write both numbers of "семь часов пятнадцать минут" when one of them is 10 or more."""
    hours, minutes = line.number(at), line.number(at + 2)
    if hours is None or minutes is None or line.items[at + 1].apart:
        return None
    if line.next_word(at) not in _HOUR or line.next_word(at + 2) not in _MINUTE:
        return None
    if max(hours.value, minutes.value) < 10:
        return None
    pieces = tuple(line.piece(i, i, grouped(line.items[i].value)) for i in (at, at + 2))
    return Found(pieces, at + 4)


def _timed(line: Line, at: int) -> Found | None:
    """Write a time after "в", "к", "до", "с", "после"."""
    hour, end = _hour(line, at)
    if hour is None or line.items[at].apart:
        return _by_daypart(line, at)
    worded = line.next_word(at) in _HOUR
    begin = at + 2 if worded else end
    minutes, end = _minutes(line, begin)
    follows = line.next_word(end - 1)
    if minutes is None or (follows not in _MINUTE if worded else _counted(follows)):
        return _by_daypart(line, at)
    end += worded
    return Found((line.piece(at, end - 1, f"{hour}:{minutes}"),), end)


def _counted(word: str) -> bool:
    """Whether the number before this word counts it ("тридцать рублей"), and so is not a time."""
    return bool(word in COUNTED or UNIT.fullmatch(word) or PERCENT.fullmatch(word))


def _by_daypart(line: Line, at: int) -> Found | None:
    """Write "девять тридцать утра", "девять часов вечера", "пять утра"."""
    hour, end = _hour(line, at)
    if hour is None or line.items[at].apart or line.word(at) == "час":
        return None
    minutes, after = _minutes(line, end)
    if minutes is not None and line.next_word(after - 1) in DAYPARTS:
        return Found((line.piece(at, after - 1, f"{hour}:{minutes}"),), after)
    piece = line.piece(at, at, str(hour))
    if line.next_word(at) in _HOUR and line.next_word(at + 1) in DAYPARTS:
        return Found((piece,), at + 3)
    part = line.next_word(at)
    timed = line.before(at) in _AT | {"около", "на"}
    least = {"утра": 2 if timed else 5, "вечера": 4 if timed else 5, "дня": 5, "ночи": 2}.get(part)
    if least is None or not least <= hour <= 12 or (part == "ночи" and not timed):
        return None
    return Found((piece,), at + 2)


def _hour(line: Line, at: int) -> tuple[int | None, int]:
    """The hour at `at` (None if there is none) and the next item; "час" is 1."""
    if line.word(at) == "час":
        return 1, at + 1
    item = line.number(at)
    good = item is not None and item.simple and item.scale == 1 and item.value <= 24
    return (item.value if item is not None and good else None), at + 1


def _minutes(line: Line, at: int) -> tuple[str | None, int]:
    """The minutes in two digits (None if there are none) and the next item: "ноль пять" is "05"."""
    first = line.number(at)
    if first is None or not first.simple or line.items[at - 1].apart:
        return None, at
    if first.value == 0:
        second = line.next_number(at)
        if second is not None and second.value < 10:
            return f"0{second.value}", at + 2
        return None, at
    if not 10 <= first.value <= 59 or line.next_number(at) is not None:
        return None, at
    return str(first.value), at + 1


def _day(line: Line, at: int) -> Item | None:
    """The ordinal at `at` if it may be a day of a month, else None."""
    item = line.ordinal(at)
    fits = item is not None and 1 <= item.value <= _DAYS and item.ending in _OF_DAYS
    return item if fits else None


def _is_year(item: Item) -> bool:
    return _FIRST_YEAR <= item.value <= _LAST_YEAR
