"""Words as they are searched: lower case, ё as е, and the stem that Snowball gives.

Russian and English stems of Porter's Snowball algorithms (the library `snowballstemmer`); a word in
other letters is its own stem. All forms of a word are found by any of them.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Final

import snowballstemmer

__all__ = ["folded", "stem", "stems", "tokens"]

_WORD: Final = re.compile(r"[^\W_]+")
_STEMMERS: Final = threading.local()
_CYRILLIC: Final = re.compile(r"[а-я]")


def tokens(text: str) -> list[str]:
    """The words of a text, folded, in order."""
    return _WORD.findall(folded(text))


def folded(text: str) -> str:
    """Lower case, and ё as е; every character keeps its place."""
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text).replace(
        "ё", "е"
    )


@lru_cache(maxsize=200_000)
def stem(token: str) -> str:
    """The stem of a folded word."""
    name = "russian" if _CYRILLIC.search(token) else "english"
    stemmer = getattr(_STEMMERS, name, None)
    if stemmer is None:  # a stemmer keeps state while it works
        stemmer = snowballstemmer.stemmer(name)
        setattr(_STEMMERS, name, stemmer)
    return str(stemmer.stemWord(token))


def stems(text: str) -> str:
    """The stems of a text, separated by spaces."""
    return " ".join(map(stem, tokens(text)))
