"""The kept sets of numbers, numbers in words, and plain text through the rules."""

from __future__ import annotations

import re
from pathlib import Path

from glagol.speech.text.digits import in_digits
from glagol.speech.types import Word, text_of

__all__ = ["meant", "phrases", "plain", "said", "spelled", "words_of", "written"]

_FOLDER = Path(__file__).parent / "numbers"


def phrases(name: str) -> list[tuple[str, str]]:
    """What is spoken and how it is to be written, of `open` or `held`."""
    lines = (_FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return [(spoken, text) for spoken, text in (line.split("\t") for line in lines)]


def plain() -> list[str]:
    """Sentences in which nothing may change."""
    return (_FOLDER / "plain.txt").read_text(encoding="utf-8").splitlines()


def said(text: str, speakers: str = "") -> tuple[Word, ...]:
    """Words of a third of a second, with pauses; each by its speaker, a letter, where given."""
    return tuple(
        Word(at / 2, at / 2 + 0.3, word, 0.5 + at % 5 / 10, speaker=speakers[at : at + 1] or None)
        for at, word in enumerate(text.split())
    )


def written(text: str) -> str:
    """The text by the rules, with a space for each no-break space."""
    return text_of(in_digits(said(text))).replace("\u00a0", " ")


def words_of(text: str) -> list[str]:
    """The words of a line."""
    return text.split()


ONES = words_of("ноль один два три четыре пять шесть семь восемь девять")
TEENS = words_of(
    "десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать семнадцать"
    " восемнадцать девятнадцать"
)
TENS = words_of("двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто")
HUNDREDS = words_of("сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот")
FORMS = {1_000_000: ("миллион", "миллиона", "миллионов"), 1000: ("тысяча", "тысячи", "тысяч")}


def spelled(value: int) -> str:
    """A whole number below a thousand million in words, by a grammar of its own."""
    words: list[str] = []
    for scale, forms in FORMS.items():
        count, value = divmod(value, scale)
        if count:
            few = forms[0 if count % 10 == 1 else 1 if 2 <= count % 10 <= 4 else 2]
            words += [*_below(count, feminine=scale == 1000), few if _single(count) else forms[2]]
    return " ".join([*words, *_below(value)] if value or not words else words)


def _single(count: int) -> bool:
    return count % 100 not in range(11, 15)


def _below(value: int, *, feminine: bool = False) -> list[str]:
    words = [HUNDREDS[value // 100 - 1]] if value >= 100 else []
    value %= 100
    if value >= 20:
        words.append(TENS[value // 10 - 2])
        value %= 10
    elif value >= 10:
        return [*words, TEENS[value - 10]]
    if value or not words:
        word = ONES[value]
        words.append({"один": "одна", "два": "две"}.get(word, word) if feminine else word)
    return [word for word in words if word != "ноль" or len(words) == 1]


def meant(text: str) -> int:
    """The number at the start of a text in digits."""
    found = re.match(r"([\d\u00a0]+)( миллион)?", text)
    assert found, text
    value = int(found[1].replace("\u00a0", ""))
    return value * 1_000_000 if found[2] else value
