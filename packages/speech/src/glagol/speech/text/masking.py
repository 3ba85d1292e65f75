"""Numbers of telephones, cards and passports in a transcript: where they are.

They are found in digits and in Russian words, across pauses and turns. Numbers are masked rather
too often than too seldom: thirteen digits and more are a card, ten to twelve a telephone, whatever
the words around them; fewer need a word such as "телефон" or "паспорт" before them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from glagol.speech.text.lexicon import MONTHS, PERCENT, PHONES, SCALES, UNIT, words
from glagol.speech.text.line import Line
from glagol.speech.text.numerals import Token, token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Segment, Word

__all__ = ["CONTEXT_WORDS", "Run", "masked", "runs"]

CONTEXT_WORDS: Final = 12
"""Words before a number that may name it."""

CARD_FROM: Final = 13
PHONE_FROM: Final = 10
SHORT_FROM: Final = 5
PASSPORT: Final = range(4, CARD_FROM)
PAUSE_MAX_S: Final = 20.0
FILLERS_MAX: Final = 4

_FILLERS: Final = words(
    "и плюс тире дефис минус пробел скобка точка запятая слеш э ээ эээ эм мм м ну так да ага угу"
    " дальше далее потом затем номер серия код значит вот хорошо понятно записал записала пишу"
    " записываю есть снова еще"
)
_WRITTEN: Final = re.compile(r"[\d()+\-–—./\u00a0№#]*\d[\d()+\-–—./\u00a0№#]*")
_LONG_WRITTEN: Final = re.compile(r"(\D*\d){7,}\D*")
_DATE: Final = re.compile(r"\d{1,2}[./]\d{1,2}[./](\d\d)?\d\d")
_PASSPORTS: Final = re.compile(r"паспорт(а|у|ом|е|ные|ных)?|сери(я|и|ю|ей)")


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers that follow each other.

    Attributes:
        places: of the words that are numbers, rising.
        mask: what they are: "phone", "card", "passport"; None for other numbers.
        open: whether the next words may belong to it.
    """

    places: tuple[int, ...]
    mask: str | None
    open: bool


def runs(line_of: Sequence[Word]) -> list[Run]:
    """All runs of numbers in words that one side says, by time."""
    tokens = [token(word.text) for word in line_of]
    parts = _numbers(Line.of(tokens), line_of)
    found: list[list[_Number]] = []
    for part in parts:
        if found and _continues(tokens, line_of, found[-1][-1], part):
            found[-1].append(part)
        else:
            found.append([part])
    return [_run(tokens, run) for run in found]


@dataclass(frozen=True, slots=True)
class _Number:
    """Words [start, end) that are digits."""

    start: int
    end: int
    digits: str


def _numbers(line: Line, said: Sequence[Word]) -> list[_Number]:
    """Numbers that count or measure nothing."""
    found: list[_Number] = []
    for at, item in enumerate(line.items):
        after = line.next_word(at)
        if UNIT.fullmatch(after) or PERCENT.fullmatch(after) or after in MONTHS:
            continue
        if item.kind == "number" and item.scale == 1:
            found.append(_Number(item.start, item.end, str(item.value)))
        elif item.kind == "word" and after not in SCALES:
            digits = _written(said[item.start].text)
            if digits:
                found.append(_Number(item.start, item.end, digits))
    return found


def _written(text: str) -> str:
    """The digits of a word that is a number or a part of one; empty where it is none."""
    bare = text.rstrip(",.;:!?»\"'").lstrip("«\"'")
    if bare.endswith("%") or _DATE.fullmatch(bare):
        return ""
    if _WRITTEN.fullmatch(bare) or _LONG_WRITTEN.fullmatch(bare):
        return re.sub(r"\D", "", bare)
    return ""


def _continues(tokens: Sequence[Token], said: Sequence[Word], last: _Number, part: _Number) -> bool:
    """Whether only words without meaning, and no long silence, lie between two numbers."""
    between = tokens[last.end : part.start]
    if len(between) > FILLERS_MAX or not all(each.text in _FILLERS for each in between):
        return False
    return said[part.start].start - said[last.end - 1].end <= PAUSE_MAX_S


def _run(tokens: Sequence[Token], run: list[_Number]) -> Run:
    places = tuple(place for part in run for place in range(part.start, part.end))
    end = run[-1].end
    rest = tokens[end : end + FILLERS_MAX + 1]
    is_open = len(rest) <= FILLERS_MAX and all(each.text in _FILLERS for each in rest)
    first = run[0].start
    before = [each.text for each in tokens[max(0, first - CONTEXT_WORDS) : run[-1].end]]
    return Run(places, _kind(run, before), is_open)


def _kind(run: list[_Number], before: Sequence[str]) -> str | None:
    """What a run is, by how many digits it has and the words before and inside it."""
    size = sum(len(part.digits) for part in run)
    phone = any(PHONES.fullmatch(each) for each in before)
    if size >= CARD_FROM:
        return "phone" if phone and size < CARD_FROM + 2 else "card"
    if any(_PASSPORTS.fullmatch(each) for each in before) and size in PASSPORT:
        return "passport"
    if phone and size >= SHORT_FROM:
        return "phone"
    return "phone" if size >= PHONE_FROM and not _counts(run) else None


def _counts(run: list[_Number]) -> bool:
    values = [int(part.digits) for part in run]
    return len(values) > 1 and {b - a for a, b in pairwise(values)} in ({1}, {-1})


def masked(segment: Segment, places: Sequence[tuple[int, str]]) -> tuple[Word, ...]:
    """The words of a segment with masks in the place of numbers.

    Numbers of one kind with nothing but words without meaning between them are one mask, which has
    the first one's start and the last one's end.

    Args:
        segment: with its words.
        places: of words that are masked, rising, each with its kind.
    """
    found: list[Word] = []
    done = 0
    for start, end, kind in _joined(segment.words, places):
        found += segment.words[done:start]
        covered = segment.words[start:end]
        found.append(
            replace(
                covered[0],
                end=covered[-1].end,
                text=f"[{kind}]{token(covered[-1].text).tail}",
                confidence=min(word.confidence for word in covered),
                spoken=None,
            )
        )
        done = end
    return (*found, *segment.words[done:])


def _joined(said: Sequence[Word], places: Sequence[tuple[int, str]]) -> list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    for place, kind in places:
        if spans and spans[-1][2] == kind:
            start, end, _ = spans[-1]
            between = said[end:place]
            if all(token(word.text).text in _FILLERS for word in between):
                spans[-1] = (start, place + 1, kind)
                continue
        plus = place > 0 and token(said[place - 1].text).text == "плюс"
        spans.append((place - plus, place + 1, kind))
    return spans
