"""Decide by rules whether SQL answers a question (how often, most, first, latest) or a search does.

A rule matches the first words of a question; the rest of the question is what SQL counts. A
question that no rule matches is for search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Kind", "Routed", "routed"]

Kind = Literal["search", "often", "most", "first", "latest"]
_SAID: Final = (
    r"(?:сказал\w*|говорил\w*|говорят|упомина\w+|упомянул\w*|произн[её]с\w*|звучал\w*"
    r"|обсуждал\w*|вспоминал\w*|said|talked|mention\w*|spoke|discussed)"
)
_ABOUT: Final = r"(?:\s+(?:слово|слова|фраз\w+|про|о|об|обо|the word|about))?"
_MORE: Final = r"(?:больше всех|чаще всех|больше всего|чаще всего|больше|чаще|(?:the\s+)?most)"
_OFTEN: Final = r"(?:сколько раз|как часто|how (?:often|many times))(?:\s+(?:was|were))?"
_FIRST: Final = r"(?:(?:кто|who)\s+(?:первым|первой|первый|впервые|first)|когда\s+впервые)"
_LAST: Final = r"(?:что\s+)?(?:последн\w+|latest|last)"
_RULES: Final[tuple[tuple[Kind, str], ...]] = (
    ("often", rf"{_OFTEN}\s+{_SAID}{_ABOUT}"),
    ("most", rf"(?:кто|who)\s+{_MORE}\s+{_SAID}{_ABOUT}"),
    ("most", rf"(?:кто|who)\s+{_SAID}\s+{_MORE}{_ABOUT}"),
    ("first", rf"{_FIRST}\s+{_SAID}{_ABOUT}"),
    ("latest", rf"{_LAST}(?:\s+(?:новост\w+|раз|news))?(?:\s+{_SAID})?{_ABOUT}"),
)
_COMPILED: Final = tuple(
    (kind, re.compile(rf"^\s*{rule}\b\s*", re.IGNORECASE)) for kind, rule in _RULES
)


@dataclass(frozen=True, slots=True)
class Routed:
    """The way in which a question is answered.

    Attributes:
        kind: `search`, or what SQL counts or sorts by.
        about: What is searched or counted; may be empty for `most`, which then counts every turn.
    """

    kind: Kind
    about: str


def routed(question: str) -> Routed:
    """Choose the way to answer a question, by its first words."""
    text = " ".join(question.split()).rstrip("?!. ")
    for kind, rule in _COMPILED:
        found = rule.match(text)
        if not found:
            continue
        about = text[found.end() :].strip()
        if about or kind == "most":
            return Routed(kind, about)
    return Routed("search", question)
