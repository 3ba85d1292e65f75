"""Load the prompt instructions of a summary: text files of this package, with their digests."""

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
    """Instructions of the steps of a summary, in one language.

    Attributes:
        map: For a piece of the transcript.
        reduce: For notes on several pieces.
        repair: Added when an answer was malformed; `{error}` is replaced by the error.
        sha256: Digest of each file by its name.
    """

    map: str
    reduce: str
    repair: str
    sha256: dict[str, str]

    def repaired(self, prompt: str, error: str) -> str:
        """`prompt` for another attempt, with at most 160 characters of `error`."""
        return f"{prompt}\n\n{self.repair.replace('{error}', error[:_ERROR_CHARACTERS_MAX])}"


@cache
def instructions(language: Language) -> Instructions:
    """Load the instructions in a language."""
    folder = resources.files("glagol.llm.summarize") / "texts"
    names = {step: f"{step}.{language}.txt" for step in ("map", "reduce", "repair")}
    data = {step: (folder / name).read_bytes() for step, name in names.items()}
    return Instructions(
        **{step: text.decode().strip() for step, text in data.items()},
        sha256={names[step]: hashlib.sha256(text).hexdigest() for step, text in data.items()},
    )


def language_of(text: str) -> Language:
    """Russian if a third of the letters is Cyrillic, since it contains many Latin names."""
    letters = [letter for letter in text if letter.isalpha()]
    cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in letters)
    return "ru" if 3 * cyrillic >= len(letters) and letters else "en"
