"""Sentences of spoken numbers: digits, sums, dates, times, orders, addresses, measures."""

from __future__ import annotations

import random
from collections.abc import Callable

from num2words import num2words

_MONTH_NAMES = "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"
MONTHS = tuple(_MONTH_NAMES.split())
_ORDINAL_ENDINGS = (("ый", "ого"), ("ий", "его"), ("ой", "ого"))
_UNITS = (
    ("метр", "метра", "метров"),
    ("литр", "литра", "литров"),
    ("градус", "градуса", "градусов"),
    ("километр", "километра", "километров"),
    ("день", "дня", "дней"),
    ("год", "года", "лет"),
    ("человек", "человека", "человек"),
    ("доллар", "доллара", "долларов"),
    ("билет", "билета", "билетов"),
)


def words(value: int) -> str:
    """Return a non-negative whole number in words, masculine, nominative."""
    return str(num2words(value, lang="ru"))


def plural(value: int, one: str, few: str, many: str) -> str:
    """Return the form of a noun that agrees with the number before it."""
    if 11 <= value % 100 <= 14:
        return many
    last = value % 10
    if last == 1:
        return one
    return few if 2 <= last <= 4 else many


def counted(value: int, one: str, few: str, many: str) -> str:
    """Return the number in words with its masculine noun."""
    return f"{words(value)} {plural(value, one, few, many)}"


def genitive_day(day: int) -> str:
    """Return a day of the month as in a date: ``первого``, ``двадцать третьего``."""
    ordinal = str(num2words(day, lang="ru", to="ordinal"))
    if ordinal.endswith("третий"):
        return ordinal[: -len("третий")] + "третьего"
    for ending, genitive in _ORDINAL_ENDINGS:
        if ordinal.endswith(ending):
            return ordinal[: -len(ending)] + genitive
    return ordinal


def _any_size(draw: random.Random) -> int:
    return draw.randrange(10 ** draw.randint(1, 6))


def _digits(draw: random.Random) -> str:
    return " ".join(words(draw.randrange(10)) for _ in range(draw.randint(4, 11)))


def _phone(draw: random.Random) -> str:
    groups = [draw.randrange(1000), *(draw.randrange(100) for _ in range(3))]
    prefix = draw.choice(("телефон", "мой номер", "звоните по номеру", "запишите телефон"))
    return f"{prefix} восемь {', '.join(words(group) for group in groups)}"


def _sum(draw: random.Random) -> str:
    value = _any_size(draw)
    prefix = draw.choice(("сумма", "цена", "к оплате", "остаток на счёте", "перевод"))
    return f"{prefix} {counted(value, 'рубль', 'рубля', 'рублей')}"


def _date(draw: random.Random) -> str:
    day = f"{genitive_day(draw.randint(1, 31))} {draw.choice(MONTHS)}"
    form = draw.randrange(3)
    if form == 0:
        return day
    if form == 1:
        return f"встреча {day} в {words(draw.randint(8, 20))} часов"
    return f"срок до {day}, осталось {counted(draw.randint(2, 90), 'день', 'дня', 'дней')}"


def _clock(draw: random.Random) -> str:
    hour = counted(draw.randrange(24), "час", "часа", "часов")
    minute = draw.randrange(60)
    spoken = words(minute)
    if minute != 11 and minute % 10 == 1:
        spoken = spoken[: -len("один")] + "одна"
    if minute != 12 and minute % 10 == 2:
        spoken = spoken[: -len("два")] + "две"
    return f"{hour} {spoken} {plural(minute, 'минута', 'минуты', 'минут')}"


def _order(draw: random.Random) -> str:
    prefix = draw.choice(("номер заказа", "договор номер", "заявка номер", "код", "накладная"))
    return f"{prefix} {words(draw.randrange(1000))} {words(draw.randrange(1000))}"


def _percent(draw: random.Random) -> str:
    share = counted(draw.randrange(2, 100), "процент", "процента", "процентов")
    return f"{share} от {words(draw.randrange(100, 10000))}"


def _address(draw: random.Random) -> str:
    flat, entry, floor = draw.randrange(1, 400), draw.randrange(1, 10), draw.randrange(1, 26)
    return f"квартира {words(flat)}, подъезд {words(entry)}, этаж {words(floor)}"


def _year(draw: random.Random) -> str:
    return f"{words(draw.randrange(1900, 2030))} год, страница {words(draw.randrange(500))}"


def _measure(draw: random.Random) -> str:
    prefix = draw.choice(("примерно", "ровно", "не больше чем", "осталось", "итого", "около"))
    return f"{prefix} {counted(_any_size(draw), *draw.choice(_UNITS))}"


def _range(draw: random.Random) -> str:
    low = draw.randrange(1, 500)
    return f"от {words(low)} до {words(low + draw.randrange(1, 500))}, всего {words(low)}"


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    _digits,
    _phone,
    _sum,
    _date,
    _clock,
    _order,
    _percent,
    _address,
    _year,
    _measure,
    _range,
)


def number_sentence(draw: random.Random) -> str:
    """Return one random sentence about numbers, all of them in words."""
    return draw.choice(_KINDS)(draw)
