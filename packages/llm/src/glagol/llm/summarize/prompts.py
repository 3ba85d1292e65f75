"""The instructions that a model is given: text files of this package, named by their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["LANGUAGES", "Instructions", "Language", "instructions", "language_of"]

Language: TypeAlias = Literal["ru", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_ERROR_CHARACTERS_MAX: Final = 160


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the steps of a summary begin with, in one language.

    Attributes:
        map: For a piece of the transcript.
        reduce: For notes on several pieces.
        repair: Added when an answer had not its form; `{error}` stands for what was wrong.
        sha256: Digest of each file by its name.
    """

    map: str
    reduce: str
    repair: str
    sha256: dict[str, str]

    def repaired(self, prompt: str, error: str) -> str:
        """`prompt`, asked again because of `error`; of that no more than 160 characters."""
        return f"{prompt}\n\n{self.repair.replace('{error}', error[:_ERROR_CHARACTERS_MAX])}"


@cache
def instructions(language: Language) -> Instructions:
    """The instructions in a language."""
    folder = resources.files("glagol.llm.summarize") / "texts"
    names = {step: f"{step}.{language}.txt" for step in ("map", "reduce", "repair")}
    data = {step: (folder / name).read_bytes() for step, name in names.items()}
    return Instructions(
        **{step: text.decode().strip() for step, text in data.items()},
        sha256={names[step]: hashlib.sha256(text).hexdigest() for step, text in data.items()},
    )


def language_of(text: str) -> Language:
    """Russian when a third of the letters is Cyrillic: Russian speech is full of Latin names."""
    letters = [letter for letter in text if letter.isalpha()]
    cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in letters)
    return "ru" if 3 * cyrillic >= len(letters) and letters else "en"
