"""Value types of settings: parse and check a text, and describe the range in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Takes", "choice", "folder", "integer", "number", "url", "word"]


@dataclass(frozen=True, slots=True)
class Takes:
    """What a variable takes.

    Attributes:
        words: Type, unit and range in words, as the error message says them.
        words_ru: The same in Russian.
        parse: Text to value; raises ValueError for anything outside the range.
        unit: "bytes" when the value is a size in bytes.
    """

    words: str
    words_ru: str
    parse: Callable[[str], Any]
    unit: Literal["", "bytes"] = ""


def integer(
    low: int, high: int, unit: Literal["", "bytes"] = "", note: tuple[str, str] = ("", "")
) -> Takes:
    """Takes a whole number `low..high`.

    Args:
        low: The least value.
        high: The greatest value.
        unit: "bytes" for a size.
        note: What to add in brackets, in English and in Russian.

    Raises:
        ValueError: By `parse` of what it gives, for any other text.
    """

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    of, of_ru = (" of bytes", " байтов") if unit else ("", "")
    more, more_ru = (f" ({text})" if text else "" for text in note)
    return Takes(
        f"a whole number{of} {low}..{high}{more}",
        f"целое число{of_ru} {low}..{high}{more_ru}",
        parse,
        unit,
    )


def number(low: float, high: float, noun: str = "seconds", noun_ru: str = "секунды") -> Takes:
    """Takes a finite number `low..high` of what the nouns say.

    Raises:
        ValueError: By `parse` of what it gives, for any other text.
    """

    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(text)
        return value

    span = f"{low:.15g}..{high:.15g}"
    return Takes(f"{noun} {span}", f"{noun_ru} {span}", parse)


def choice(*allowed: str) -> Takes:
    """Takes one of `allowed`, in any case.

    Raises:
        ValueError: By `parse` of what it gives, for any other text.
    """

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(text)
        return text.lower()

    listed = ", ".join(allowed)
    return Takes(f"one of {listed}", f"одно из {listed}", parse)


def word(words: str, words_ru: str) -> Takes:
    """Takes printable text without spaces."""
    return Takes(words, words_ru, _word)


def url(*schemes: str) -> Takes:
    """Takes an address that begins with one of `schemes`, such as `http`.

    Raises:
        ValueError: By `parse` of what it gives, for any other text.
    """

    def parse(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(text)
        return _word(text)

    starts = [f"{scheme}://" for scheme in schemes]
    article = "an" if starts[0].startswith("http") else "a"
    return Takes(
        f"{article} {', '.join(starts[:-1])} or {starts[-1]} address",
        f"адрес {', '.join(starts[:-1])} или {starts[-1]}",
        parse,
    )


def folder(words: str, words_ru: str) -> Takes:
    """Takes a path; made absolute."""
    return Takes(words, words_ru, _path)


def _word(text: str) -> str:
    if not text or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(text)
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return str(Path(text).absolute())
