"""Translate help, notes and errors from English into the language of the user's locale.

A text is looked up where it is printed, so code raises and writes English alone, and a text that
the catalogue lacks is shown as it is. An entry with `{names}` is a pattern: it fits a text that is
equal to it around them; what stands at `{what}` is one more text and is looked up as well. Only
the command line translates; answers of servers are English.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

__all__ = ["Catalogue", "catalogue", "language", "translated"]

PLACE: Final = re.compile(r"\{(\w+)\}")
NESTED: Final = "what"  # the place that holds one more text; others hold names and numbers


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Texts of one language.

    Attributes:
        exact: English to the other language; white space is that of one line.
        patterns: (pattern of the English text, text to fill in), in their order.
    """

    exact: Mapping[str, str]
    patterns: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Catalogue:
        """The catalogue of the entries of a file."""
        patterns = [
            (re.compile(_pattern(text), re.DOTALL), other)
            for text, other in texts.items()
            if PLACE.search(text)
        ]
        exact = {text: other for text, other in texts.items() if not PLACE.search(text)}
        return cls(exact, tuple(patterns))

    def text(self, english: str) -> str:
        """The text in this language, or as it is."""
        line = " ".join(english.split())
        if line in self.exact:
            return self.exact[line]
        for pattern, other in self.patterns:
            if found := pattern.fullmatch(line):
                return PLACE.sub(lambda place: self._filled(found, place[1]), other)
        return english

    def _filled(self, found: re.Match[str], name: str) -> str:
        return self.text(found[name]) if name == NESTED else found[name]


def _pattern(text: str) -> str:
    parts = PLACE.split(text)  # text, name, text, name, ...
    return "".join(
        f"(?P<{part}>.*?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)
    )


def language(environment: Mapping[str, str]) -> Literal["en", "ru"]:
    """The language of a locale as POSIX has it, `ru` or `en`.

    Args:
        environment: LC_ALL counts before LC_MESSAGES, and that before LANG.
    """
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    chosen = next((value for name in names if (value := environment.get(name))), "")
    return "ru" if re.match(r"ru([_.@]|$)", chosen) else "en"


@cache
def catalogue(name: str) -> Catalogue:
    """The catalogue of a language; English has an empty one."""
    path = Path(__file__).with_name(f"{name}.toml")
    if name == "en":
        return Catalogue({}, ())
    return Catalogue.of(tomllib.loads(path.read_text(encoding="utf-8")))


def translated(english: str) -> str:
    """A text of the command in the language of the user's locale."""
    return catalogue(language(os.environ)).text(english)
