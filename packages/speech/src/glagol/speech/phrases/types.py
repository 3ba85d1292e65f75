"""A caller's phrases and what became of each; no code here needs numpy."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LIST_BYTES_MAX",
    "PHRASES_MAX",
    "REMEDIES",
    "RULES_VERSION",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "Phrase",
    "Phrases",
    "PhrasesProvenance",
    "Refusal",
    "checked",
    "listed",
    "sha256_of",
]

RULES_VERSION: Final = 1
"""Of the rules of this folder; provenance carries it. It rises when equal lists may write other
texts."""

PHRASES_MAX: Final = 5_000
LETTERS_MIN, LETTERS_MAX = 2, 100
WEIGHT_MIN, WEIGHT_MAX = 0.1, 3.0
LIST_CHARS_MAX: Final = PHRASES_MAX * (LETTERS_MAX + 8)
LIST_BYTES_MAX: Final = 8 * LIST_CHARS_MAX

REMEDIES: Final = {
    "phrase_empty": "write a word",
    "phrase_too_short": f"use at least {LETTERS_MIN} letters",
    "phrase_too_long": f"use at most {LETTERS_MAX} characters",
    "phrase_weight": f"use a weight of {WEIGHT_MIN:g} to {WEIGHT_MAX:g}, such as {{word}}^1.5",
    "phrase_repeated": "give it once",
    "phrase_letters": "spell it with the letters of the model; numbers as words",
}
"""Why a phrase is refused, by code, and what to do."""

_WEIGHT: Final = re.compile(r"\^\s*([^\s^]*)\s*$")
_LETTER: Final = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that are expected.

    Attributes:
        text: as people write them.
        weight: how much they are preferred, 0.1..3; 1 is usual.
    """

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A phrase that has no effect.

    Attributes:
        text: the phrase.
        code: a key of `REMEDIES`.
        message: what is wrong.
        remedy: what to do.
    """

    text: str
    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, text: str, code: str, message: str) -> Refusal:
        """The refusal of a code, with its remedy."""
        return cls(text, code, message, REMEDIES[code])


@dataclass(frozen=True, slots=True)
class PhrasesProvenance:
    """Which phrases were expected, by which rules.

    Attributes:
        sha256: digest of the list, as `sha256_of` makes it.
        rules: `RULES_VERSION`.
    """

    sha256: str
    rules: int


@dataclass(frozen=True, slots=True)
class Phrases:
    """What became of a list.

    Attributes:
        used: texts of the phrases that the model can write.
        refused: the others.
        provenance: which list, which rules.
    """

    used: tuple[str, ...]
    refused: tuple[Refusal, ...]
    provenance: PhrasesProvenance


def sha256_of(phrases: Iterable[Phrase]) -> str:
    """Digest of a list: of its texts and weights as JSON, UTF-8."""
    rows = [[phrase.text, phrase.weight] for phrase in phrases]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def checked(phrases: Iterable[Phrase]) -> tuple[list[Phrase], list[Refusal]]:
    """The phrases that are possible in any model, their spaces made single; and the others."""
    good: list[Phrase] = []
    refused: list[Refusal] = []
    seen: set[str] = set()
    for phrase in phrases:
        text = " ".join(phrase.text.split())
        found = _wrong(text, phrase.weight)
        if found is None and text.casefold() in seen:
            found = ("phrase_repeated", "it stands in the list twice")
        if found is not None:
            refused.append(Refusal.of(phrase.text[:LETTERS_MAX], *found))
            continue
        seen.add(text.casefold())
        good.append(Phrase(text, phrase.weight))
    return good, refused


def _wrong(text: str, weight: float) -> tuple[str, str] | None:
    """Code and message of what makes a phrase impossible; None for nothing."""
    letters = len(_LETTER.findall(text))
    if not letters:
        return "phrase_empty", "it has no letter"
    if letters < LETTERS_MIN:
        return "phrase_too_short", f"it has {letters} letter"
    if len(text) > LETTERS_MAX:
        return "phrase_too_long", f"it has {len(text)} characters"
    if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        return "phrase_weight", f"its weight is not {WEIGHT_MIN:g} to {WEIGHT_MAX:g}"
    return None


def listed(lines: Iterable[str]) -> tuple[Phrase, ...]:
    """The phrases of lines: one a line, as `нижний новгород` or with a weight `нижний новгород^2`.

    Empty lines and those that begin with # are no phrases. A weight that is no number counts as 0,
    so that its phrase is refused, not the list.

    Raises:
        InputError: `option_invalid`, there are more than `PHRASES_MAX`.
    """
    phrases: list[Phrase] = []
    size = 0
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        size += len(text)
        if len(phrases) == PHRASES_MAX or size > LIST_CHARS_MAX:
            raise InputError(
                "option_invalid",
                f"phrases has more than {PHRASES_MAX} phrases of {LETTERS_MAX} characters",
                f"give at most {PHRASES_MAX}, those that matter for this recording",
            )
        phrases.append(_phrase(text))
    return tuple(phrases)


def _phrase(text: str) -> Phrase:
    found = _WEIGHT.search(text)
    if found is None:
        return Phrase(text)
    try:
        weight = float(found[1])
    except ValueError:
        weight = 0.0
    if not 0 <= weight < 1e6:
        weight = 0.0
    return Phrase(text[: found.start()].strip(), weight)
