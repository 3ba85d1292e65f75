"""Numbers in words as digits: recognisers write "сорок пять", people type "45"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["digits"]

_FORMS: Final = {
    0: "ноль нуль ноля нуля нолю нулю",
    1: "один одна одно одного одной одну одним одном одному",
    2: "два две двух двум двумя",
    3: "три трех трем тремя",
    4: "четыре четырех четырем четырьмя",
    8: "восемь восьми восемью восьмью",
    40: "сорок сорока",
    50: "пятьдесят пятидесяти пятьюдесятью",
    60: "шестьдесят шестидесяти шестьюдесятью",
    70: "семьдесят семидесяти семьюдесятью",
    80: "восемьдесят восьмидесяти восемьюдесятью",
    90: "девяносто девяноста",
    100: "сто ста",
    200: "двести двухсот двумстам двухстам двухстах двумястами",
    300: "триста трехсот тремстам трехстах тремястами",
    400: "четыреста четырехсот четыремстам четырехстах четырьмястами",
    500: "пятьсот пятисот пятистам пятистах",
    600: "шестьсот шестисот шестистам шестистах",
    700: "семьсот семисот семистам семистах",
    800: "восемьсот восьмисот восьмистам восьмистах",
    900: "девятьсот девятисот девятистам девятистах",
    1000: "тысяча тысячи тысяче тысячу тысячей тысячам тысячами тысячах тысяч",
    10**6: "миллион миллиона миллиону миллионом миллионе миллионы миллионов миллионам",
    10**9: "миллиард миллиарда миллиарду миллиардом миллиарде миллиарды миллиардов",
}
_SOFT: Final = {  # the word without its last letter, which is ь, и or ью
    5: "пят",
    6: "шест",
    7: "сем",
    9: "девят",
    10: "десят",
    11: "одиннадцат",
    12: "двенадцат",
    13: "тринадцат",
    14: "четырнадцат",
    15: "пятнадцат",
    16: "шестнадцат",
    17: "семнадцат",
    18: "восемнадцат",
    19: "девятнадцат",
    20: "двадцат",
    30: "тридцат",
}
_VALUES: Final = {
    **{form: value for value, forms in _FORMS.items() for form in forms.split()},
    **{root + end: value for value, root in _SOFT.items() for end in ("ь", "и", "ью")},
}
_THOUSAND: Final = 1000
_DIGITS_MAX: Final = 12
"""Longer rows of digits are names of things and stay as they are."""


class _Number:
    """A number that is being read: what is below a thousand, and what was multiplied already."""

    def __init__(self, value: int, *, written: bool) -> None:
        self.whole, self.part, self.written = 0, value, written
        if value >= _THOUSAND:
            self.whole, self.part = value, 0

    def takes(self, value: int) -> bool:
        """Whether a word continues it, and does: smaller than the last digit that is not zero."""
        if value >= _THOUSAND:
            if not self.part or (self.whole and self.whole <= value):
                return False
            self.whole, self.part, self.written = self.whole + self.part * value, 0, False
            return True
        if self.written or value == 0:
            return False
        room = _room(self.part) if self.part else _THOUSAND
        if value >= room or (not self.part and not self.whole):
            return False
        self.part += value
        return True

    def __str__(self) -> str:
        return str(self.whole + self.part)


def digits(words: Iterable[str]) -> Iterator[str]:
    """Folded words with numbers as digits, one word each: "двадцать пять тысяч" is "25000"."""
    number: _Number | None = None
    for word in words:
        written = word.isascii() and word.isdigit() and len(word) <= _DIGITS_MAX
        value = None if written else _VALUES.get(word)
        if number and value is not None and number.takes(value):
            continue
        if number:
            yield str(number)
            number = None
        if written:
            number = _Number(int(word), written=True) if str(int(word)) == word else None
        elif value is not None:
            number = _Number(value, written=False)
        if number is None:
            yield word
    if number:
        yield str(number)


def _room(part: int) -> int:
    """Below what the next word must be: 100 after hundreds, 10 after tens, else nothing fits."""
    if part % 100 == 0:
        return 100
    return 10 if part % 10 == 0 and part % 100 != 10 else 0
