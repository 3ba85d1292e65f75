"""From raw text to sentences that can be spoken and scored, and the hold-out rule."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from num2words import num2words

from glagol.forge.nano.text.dictionary import WORD, Dictionary

MAX_LETTERS = 125
HELD_OUT_PERCENT = 3
_ABBREVIATION = re.compile(r"\b(т\.\s?е|т\.\s?д|т\.\s?п|др|см|рис|стр|гг?|вв?|руб|тыс|млн|им|ул)\.")
_FOREIGN = re.compile(r"[A-Za-z_/\\<>{}|=@#$%^&+\[\]~`]")
_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}\b)")
_COMPOUND_NUMBER = re.compile(r"\d[.,:]\d")
_ACRONYM = re.compile(r"[А-ЯЁ]{2,}")
_TRIPLED = re.compile(r"(.)\1\1")
_ONE_LETTER_WORDS = frozenset("аивксоуя")
_EDGES = ' -–—*·\t"«»'


@dataclass(frozen=True)
class Sentence:
    """What the synthesiser reads (punctuation, capitals) and what the model must write."""

    pool: str
    spoken: str
    target: str


def held_out(target: str) -> bool:
    """Tell whether a target text belongs to the tests: three in a hundred, by its MD5."""
    digest = hashlib.md5(target.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 100 < HELD_OUT_PERCENT


def _number(match: re.Match[str]) -> str:
    value = int(match.group())
    return str(num2words(value, lang="ru")) if value < 10**9 else ""


def _readable(text: str) -> bool:
    """Tell whether every sign of the raw sentence has one reading."""
    if _FOREIGN.search(text) or _ABBREVIATION.search(text):
        return False
    text = _THOUSANDS.sub("", text)
    return len(re.findall(r"\d+", text)) <= 3 and not _COMPOUND_NUMBER.search(text)


def _plausible(target: str, dictionary: Dictionary) -> bool:
    """Tell whether a target is of a fit length and mostly Russian words."""
    words = target.split()
    if not (2 <= len(words) <= 18) or not (8 <= len(target) <= MAX_LETTERS):
        return False
    if any(len(word) == 1 and word not in _ONE_LETTER_WORDS for word in words):
        return False
    if _TRIPLED.search(target):
        return False
    return sum(dictionary.knows(word) for word in words) >= 0.7 * len(words)


def clean(pool: str, raw: str, dictionary: Dictionary) -> Sentence | None:
    """Return the sentence with numbers in words and ё restored, or None when unfit.

    Targets hold only а-я, ё and single spaces.
    """
    text = raw.replace("\u0301", "").strip(_EDGES)
    if not _readable(text):
        return None
    text = re.sub(r"\d+", _number, _THOUSANDS.sub("", text))
    text = re.sub(r"\s+", " ", text)
    if _ACRONYM.search(text):
        return None
    spoken = dictionary.restore_yo(text)
    target = " ".join(WORD.findall(spoken.lower()))
    return Sentence(pool, spoken, target) if _plausible(target, dictionary) else None


def split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of plain text; paragraphs are parted by empty lines.

    Sentences too long to speak at once are cut at semicolons, colons and dashes.
    """
    for paragraph in re.split(r"\n\s*\n", text):
        flat = re.sub(r"\s+", " ", paragraph)
        for sentence in re.split(r"(?<=[.!?…])\s+", flat):
            if len(sentence) > MAX_LETTERS:
                yield from re.split(r"[;:—]\s+", sentence)
            else:
                yield sentence


def unique(sentences: Iterable[Sentence | None]) -> list[Sentence]:
    """Return the sentences in order, each target once, the unfit left out."""
    found: dict[str, Sentence] = {}
    for sentence in sentences:
        if sentence is not None:
            found.setdefault(sentence.target, sentence)
    return list(found.values())
