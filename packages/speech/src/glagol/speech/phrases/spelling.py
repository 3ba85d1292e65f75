"""Phrases in a model's spelling: its case, its letters, ё and е; compiled once for a list."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from glagol.speech.phrases.trie import Alphabet, Trie
from glagol.speech.phrases.types import (
    REMEDIES,
    RULES_VERSION,
    Phrase,
    Phrases,
    PhrasesProvenance,
    Refusal,
    checked,
    sha256_of,
)
from glagol.speech.types import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Compiled", "compiled", "noticed", "spellings"]

LISTS_KEPT = 16
"""Compiled lists, of all models together."""

_APART = re.compile(r"[\s_/,;:.!?()\"«»\u2010-\u2015-]+")
Compiled: TypeAlias = tuple[Trie, Phrases]


def spellings(text: str, letters: frozenset[str]) -> list[str]:
    """The ways in which a model may write a phrase.

    Args:
        text: as people write it.
        letters: that the model has.

    Returns:
        As given, in small letters, with a capital first; each with ё and with е; of these those
        that the model has the letters for. Marks between words become spaces where it lacks them.
    """
    split = " ".join(_APART.split(text)).strip()
    forms = dict.fromkeys(
        form for base in (text, split) for form in (base, base.lower(), base[:1].upper() + base[1:])
    )
    both = dict.fromkeys(each for form in forms for each in (form, form.replace("ё", "е")))
    return [form for form in both if form and letters.issuperset(form.replace(" ", ""))]


@lru_cache(LISTS_KEPT)
def compiled(phrases: tuple[Phrase, ...], alphabet: Alphabet) -> Compiled:
    """A list for one model: the trie of what it can write, and what became of each phrase."""
    good, refused = checked(phrases)
    trie, used = Trie(alphabet), []
    for phrase in good:
        forms = spellings(phrase.text, alphabet.letters)
        for form in forms:
            trie.add(form, phrase.weight)
        if forms:
            used.append(phrase.text)
        else:
            refused.append(_lacking(phrase.text, alphabet.letters))
    return trie, Phrases(
        tuple(used), tuple(refused), PhrasesProvenance(sha256_of(phrases), RULES_VERSION)
    )


def noticed(phrases: Phrases | None) -> tuple[Notice, ...]:
    """A warning where phrases were refused, without their texts."""
    if phrases is None or not phrases.refused:
        return ()
    total = len(phrases.used) + len(phrases.refused)
    counts = Counter(refusal.code for refusal in phrases.refused)
    why = "; ".join(f"{count} {code}: {REMEDIES[code]}" for code, count in counts.items())
    message = f"{len(phrases.refused)} of {total} phrases have no effect ({why})"
    return (Notice("phrases_refused", f"{message}; JSON has each in phrases.refused"),)


def _lacking(text: str, letters: Iterable[str]) -> Refusal:
    """The refusal of a phrase that the model cannot write, naming the letters."""
    spelled = " ".join(_APART.split(text.lower()))
    lacking = "".join(dict.fromkeys(each for each in spelled if each not in {*letters, " "}))
    return Refusal.of(text, "phrase_letters", f"the model has no {lacking[:16]}")
