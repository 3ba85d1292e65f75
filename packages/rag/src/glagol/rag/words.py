"""Words of a text in the form by which they are compared: folded, ё as е, without endings."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Final

import snowballstemmer

__all__ = ["folded", "stem", "stems"]

_WORD: Final = re.compile(r"\w+")
_CYRILLIC: Final = re.compile(r"[а-я]")
_LOCK: Final = threading.Lock()
_RUSSIAN: Final = snowballstemmer.stemmer("russian")
_ENGLISH: Final = snowballstemmer.stemmer("english")
CACHE: Final = 1 << 16


def folded(text: str) -> str:
    """A text without differences of case, of composed letters, and of ё and е."""
    return unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")


@lru_cache(maxsize=CACHE)
def stem(word: str) -> str:
    """The stem of a folded word, by Snowball's rules for Russian or English."""
    with _LOCK:  # a stemmer keeps the word that it works on
        stemmer = _RUSSIAN if _CYRILLIC.search(word) else _ENGLISH
        return str(stemmer.stemWord(word))


def stems(text: str) -> list[str]:
    """The stems of a text's words and numbers, in their order."""
    return [stem(word) for word in _WORD.findall(folded(text))]
