"""A phrase replaced in many segments: where it stands, and what they become."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from glagol.gateway.library.stems import folded

if TYPE_CHECKING:
    from glagol.gateway.library.document import Document

__all__ = ["Found", "find"]


class Found(msgspec.Struct, frozen=True):
    """A segment that holds the phrase.

    Attributes:
        segment: Its id.
        before: Its text.
        after: Its text with the phrase replaced.
        times: How often it stands there.
    """

    segment: int
    before: str
    after: str
    times: int


def find(document: Document, old: str, new: str, *, fold: bool) -> list[Found]:
    """The segments that hold a phrase as whole words.

    Args:
        document: The text.
        old: The phrase.
        new: What takes its place.
        fold: Whether case, and ё or е, do not matter.
    """
    phrase = re.compile(rf"(?<!\w){re.escape(folded(old) if fold else old)}(?!\w)")
    found = []
    for segment in document.segments:
        text = segment.text
        places = [each.span() for each in phrase.finditer(folded(text) if fold else text)]
        if places:
            found.append(Found(segment.id, text, _put(text, places, new), len(places)))
    return found


def _put(text: str, places: list[tuple[int, int]], new: str) -> str:
    """`text` with `new` at each of the places; `folded` keeps every character's place."""
    parts, at = [], 0
    for start, end in places:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])
