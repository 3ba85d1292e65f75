"""The words of pages in Russian and English, with plurals, sizes, spans and dates."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["LANGUAGES", "Words", "words"]

LANGUAGES: Final = ("ru", "en")
_FILE: Final = Path(__file__).parent / "words.toml"
_BYTES: Final = (("size_gb", 1 << 30), ("size_mb", 1 << 20), ("size_kb", 1 << 10), ("size_b", 1))


class Words:
    """The texts of one language; calling it gives a text.

    Args:
        language: "ru" or "en".
    """

    def __init__(self, language: str) -> None:
        whole = tomllib.loads(_FILE.read_text(encoding="utf-8"))
        self.language = language
        self.texts: Final[dict[str, str]] = {key: row[language] for key, row in whole.items()}

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its values filled in.

        Args:
            key: Of `words.toml`.
            **values: What stands for `{name}`; `n` also chooses the plural.

        Raises:
            KeyError: There is no such text or value.
        """
        text = self.texts[key]
        if "|" in text:
            number = values["n"]
            if not isinstance(number, int):
                raise TypeError(f"{key}: a plural is chosen by a whole number")
            text = text.split("|")[plural(self.language, number)]
        shown = {name: self._shown(value) for name, value in values.items()}
        return text.format(**shown) if shown else text

    def number(self, value: object) -> str:
        """A number as this language writes it: `1 284`, `1,25` or `1,284`, `1.25`."""
        text = f"{value:,}" if isinstance(value, int) else str(value)
        if self.language == "en":
            return text
        return text.replace(",", "\u00a0").replace(".", ",")

    def size(self, size_bytes: int) -> str:
        """Bytes in the largest unit that keeps a whole: `2 GB`, `52,5 MB`."""
        key, unit = next(row for row in _BYTES if size_bytes >= row[1] or row[1] == 1)
        value = round(size_bytes / unit, 1)
        return self(key, n=self.number(int(value) if value == int(value) else value))

    def when(self, at_s: float, *, long: bool = False) -> str:
        """A moment by the server's clock: `28 нояб., 09:14`; the browser puts its own zone."""
        at = datetime.fromtimestamp(at_s, UTC).astimezone()
        month = self.texts["months_long" if long else "months"].split(" ")[at.month - 1]
        year = f" {at.year}" if long else ""
        return f"{at.day} {month}{year}, {at.hour:02}:{at.minute:02}"

    def _shown(self, value: object) -> str:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return self.number(value) if whole else str(value)


@cache
def words(language: str) -> Words:
    """The texts of a language, "ru" or "en"."""
    return Words(language)


def plural(language: str, n: int) -> int:
    """Which form of a noun a whole number takes (Unicode CLDR): 0, 1 and for Russian 2."""
    if language == "en":
        return 0 if n == 1 else 1
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if n % 10 in {2, 3, 4} and n % 100 not in {12, 13, 14} else 2


def hms(span_s: float) -> str:
    """A span or a position: `0:07`, `12:30`, `1:01:35`."""
    whole = max(0, int(span_s))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def iso(at_s: float) -> str:
    """A moment for the attribute `datetime`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
