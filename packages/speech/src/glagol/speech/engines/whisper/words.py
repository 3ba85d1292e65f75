"""Make words with times of tokens and their frames.

Source: upstream's `whisper/timing.py`, without its splits inside words.

Words are separated by spaces, so the words joined by spaces are the text. In languages that are
written without spaces a word is the shortest run of tokens that makes whole characters. Punctuation
belongs to the word before it, opening punctuation to the word after it; the times of a word are
those of its tokens without punctuation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Final

from glagol.speech.engines.whisper.ids import TIMESTAMP_S
from glagol.speech.types import Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from glagol.speech.engines.whisper.segments import Part
    from glagol.speech.engines.whisper.vocabulary import Vocabulary

__all__ = ["UNSPACED", "Group", "groups_of", "words_of"]

UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that are written without spaces, BCP 47."""

OPENING: Final = frozenset("\"'“¿([{-«「『")
CLOSING: Final = frozenset("\"'.。,，!！?？:：;…”)]}、»」』-—–")
STOPS: Final = frozenset(".。,，!！?？:：;…—–")
"""A pause may follow these characters."""

MEDIAN_MAX_S: Final = 0.7
SLACK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """The tokens of one word.

    Attributes:
        text: the word, without spaces around it.
        first: index of the first token.
        last: index after the last token.
        spoken: index of the first token that is not punctuation, and index after the last such one.
        glued: whether the word follows the one before it without a space.
    """

    text: str
    first: int
    last: int
    spoken: tuple[int, int]
    glued: bool = False


@dataclass(frozen=True, slots=True)
class _Unit:
    """Tokens that make whole characters."""

    text: str
    first: int
    last: int

    @property
    def silent(self) -> bool:
        return all(not char.isalnum() for char in self.text)


def groups_of(
    tokens: Sequence[int], vocabulary: Vocabulary, *, first: int, spaced: bool
) -> list[Group]:
    """Group the text tokens of one part into words.

    Args:
        tokens: the text tokens of the part.
        vocabulary: the bytes of each token.
        first: index of the first token in the whole text.
        spaced: whether the language is written with spaces.
    """
    found: list[list[_Unit]] = []
    for unit in _units(tokens, vocabulary, first):
        opens = not found or unit.text[:1].isspace()
        if not spaced and not opens:
            sign = unit.text.strip()
            opens = not all(char in CLOSING for char in sign)
            opens = opens and not all(char in OPENING for u in found[-1] for char in u.text.strip())
        if opens:
            found.append([unit])
        else:
            found[-1].append(unit)
    groups = (_group(units, glued=not spaced) for units in found)
    return [group for group in groups if group.text]


def words_of(
    groups: Sequence[Group], frames: Sequence[int], logprobs: Sequence[float], part: Part
) -> list[Word]:
    """The words of one part with their times.

    A word ends where the next token begins. A word next to a pause would include the pause, so it
    is cut to at most twice the usual length of a word.

    Args:
        groups: the words of the part; indices count text tokens.
        frames: the 20 ms frame at which each text token starts, and at which the last one ends.
        logprobs: log-probability of each text token.
        part: the times of the part, which bound its first and its last word.

    Returns:
        Words by rising time; the confidence is the geometric mean of the token probabilities.
    """
    words = []
    for group in groups:
        start, end = (frames[at] * TIMESTAMP_S for at in group.spoken)
        inside = logprobs[group.first : group.last]
        confidence = min(1.0, math.exp(sum(inside) / len(inside)))
        words.append(Word(start, max(start, end), group.text, confidence, group.glued))
    return _fitted(words, part)


def _fitted(words: list[Word], part: Part) -> list[Word]:
    """The words without the pauses next to them, and within the times of the part."""
    lengths = [word.end - word.start for word in words if word.end > word.start]
    usual = min(MEDIAN_MAX_S, median(lengths)) if lengths else 0.0
    longest = 2 * usual
    out: list[Word] = []
    for at, word in enumerate(words):
        start, end = word.start, word.end
        if end - start > longest:
            if at + 1 == len(words) or word.text[-1] in STOPS:
                end = start + longest
            elif at == 0 or words[at - 1].text[-1] in STOPS:
                start = end - longest
        out.append(replace(word, start=start, end=end))
    if out and part.start - SLACK_S > out[0].start and part.start < out[0].end:
        out[0] = replace(out[0], start=part.start)
    if out and part.end is not None and out[-1].start < part.end < out[-1].end - SLACK_S:
        out[-1] = replace(out[-1], end=part.end)
    return out


def _units(tokens: Sequence[int], vocabulary: Vocabulary, first: int) -> Iterator[_Unit]:
    """Shortest runs of tokens that make whole characters; an incomplete last one is dropped."""
    start, held = 0, b""
    for at, token in enumerate(tokens):
        held += vocabulary.pieces[token]
        try:
            text = held.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":
                continue
            text = held.decode("utf-8", "ignore")
        if text:
            yield _Unit(text, first + start, first + at + 1)
        start, held = at + 1, b""


def _group(units: Iterable[_Unit], *, glued: bool) -> Group:
    units = list(units)
    text = "".join(unit.text for unit in units)
    spoken = [unit for unit in units if not unit.silent] or units
    return Group(
        text=text.strip(),
        first=units[0].first,
        last=units[-1].last,
        spoken=(spoken[0].first, spoken[-1].last),
        glued=glued and not text[:1].isspace(),
    )
