"""Words of a text in the form by which they are compared: folded, ё as е, without endings.

Numbers in words are digits there, so both ways of writing them find each other.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Final

import snowballstemmer

from glagol.rag.numbers import digits

__all__ = ["content", "folded", "stem", "stems"]

_WORD: Final = re.compile(r"\w+")
_CYRILLIC: Final = re.compile(r"[а-я]")
_LOCK: Final = threading.Lock()
_RUSSIAN: Final = snowballstemmer.stemmer("russian")
_ENGLISH: Final = snowballstemmer.stemmer("english")
CACHE: Final = 1 << 16
_FUNCTION_WORDS: Final = """
    who а без бы был была было были быть в вам вас ваш весь во вот все вы где да даже для до его
    ее если есть еще ей ему же за здесь и из или им их к как какая какие какое какой каком какую
    каких какого каким кем ко когда кого кому которая которые который которой кто куда ли либо
    меня мне много может мой моя мы на над надо наш не него нее нет ни них но ну о об он она они
    оно от откуда отчего очень перед по под почему при про раз с сам со сколько скольких так
    также там то тогда того тоже только том тот ту ты у уже чего чей чем через что чтобы эта эти
    это этого этой этом этот эту я a an and are as at be by did do does for from had has have
    how in is it its long many much of on or the this to was were what when where which why will
    with
"""


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
    """The stems of a text's words and its numbers, in their order."""
    return [stem(word) for word in digits(_WORD.findall(folded(text)))]


def content(text: str) -> list[str]:
    """The stems that say what a text is about, each once; all, where it has function words alone.

    A question shares "что" and "на" with most turns; with them search by words found those.
    """
    every = list(dict.fromkeys(stems(text)))
    return [each for each in every if each not in _EMPTY] or every


_EMPTY: Final = frozenset(stems(_FUNCTION_WORDS))
