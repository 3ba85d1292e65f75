"""Russian word forms from the hunspell dictionary, and the letter ё put back by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
WORD = re.compile(f"[{LETTERS}]+")
_BOTH_SPELLINGS = (
    "все чем нем небо лет осел мел берет слез слезы узнаем совершенный падеж поем крестный "
    "крестного лен нес сел вес стекла сестры тем всем моем стен жен села колес озера"
)
AMBIGUOUS = frozenset(_BOTH_SPELLINGS.split())
"""Spellings that stand both with е and with ё: left as they are written."""


@dataclass(frozen=True)
class Suffix:
    """One affix rule: where ``condition`` matches, cut ``strip`` off and put ``add`` on."""

    strip: str
    add: str
    condition: re.Pattern[str]

    def apply(self, lemma: str) -> str | None:
        """Return the form, or None where the rule does not fit the lemma."""
        if not lemma.endswith(self.strip) or not self.condition.search(lemma):
            return None
        return lemma[: len(lemma) - len(self.strip)] + self.add


def read_suffixes(path: Path) -> dict[str, list[Suffix]]:
    """Read the SFX rules of a hunspell .aff file (UTF-8), by flag."""
    rules: dict[str, list[Suffix]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if len(parts) < 5 or parts[0] != "SFX":
            continue
        strip = "" if parts[2] == "0" else parts[2]
        add = parts[3].split("/")[0]
        add = "" if add == "0" else add
        rules.setdefault(parts[1], []).append(Suffix(strip, add, re.compile(parts[4] + "$")))
    return rules


class Dictionary:
    """Lower-case lemmas and all their forms; no names, no hyphens."""

    def __init__(self, affixes: Path, words: Path) -> None:
        """Read both files. Raises OSError when one is absent."""
        rules = read_suffixes(affixes)
        self.lemmas: list[str] = []
        self.forms: set[str] = set()
        for line in words.read_text(encoding="utf-8").splitlines()[1:]:
            lemma, _, flags = line.strip().partition("/")
            if not WORD.fullmatch(lemma):
                continue
            self.lemmas.append(lemma)
            self.forms.add(lemma)
            for flag in flags:
                for rule in rules.get(flag, ()):
                    form = rule.apply(lemma)
                    if form:
                        self.forms.add(form)

    @cached_property
    def speakable(self) -> list[str]:
        """Forms of 3 to 14 letters, sorted."""
        return sorted(form for form in self.forms if 3 <= len(form) <= 14)

    @cached_property
    def _with_yo(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for form in sorted(self.forms):
            plain = form.replace("ё", "е")
            if plain != form and plain not in AMBIGUOUS:
                found[plain] = form
        return found

    def restore_yo(self, text: str) -> str:
        """Return the text with ё wherever its lower-case words allow one spelling only."""
        return WORD.sub(lambda match: self._with_yo.get(match.group(), match.group()), text)

    def knows(self, word: str) -> bool:
        """Tell whether the word is a form, with its ё or with е in its place."""
        return word in self.forms or word.replace("ё", "е") in self.forms
