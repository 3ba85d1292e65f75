"""Parse a language: BCP 47 tags in any spelling, ISO 639 codes, English names.

Callers write `ru`, `RU`, `ru-RU`, `ru_RU.UTF-8`, `rus` and `Russian`, and mean one language. Tags
are read and compared by the library langcodes, which carries CLDR's aliases and distances; names
are the descriptions in its copy of IANA's registry of language subtags.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["AUTO", "UNDETERMINED", "matched"]

AUTO: Final = "auto"
"""Instead of a language: the engine detects it, or takes the first that it knows."""

UNDETERMINED: Final = "und"
"""The language of silence, when none was asked for (BCP 47)."""

TEXT_MAX: Final = 64
_UNSAID: Final = frozenset({"", AUTO, UNDETERMINED})
_DISTANCE_MAX: Final = 9
"""CLDR's distance of varieties of one language, as of en-GB and en-US; other languages are from 10
on. Tags whose scripts differ (`zh-Hant` and `zh`) are compared by their languages alone."""

_BRACKETS: Final = re.compile(r"\s*\([^)]*\)")


def matched(asked: str, known: Sequence[str]) -> str | None:
    """The language that `asked` means, as the engine writes it.

    Args:
        asked: a BCP 47 tag, POSIX locale, ISO 639 code or English name, in any case; `AUTO`,
            "und" or nothing when the caller leaves it to the engine.
        known: the tags that the engine knows, its first choice first; empty when it takes any.

    Returns:
        One of `known`; or where these are empty, the tag in BCP 47's usual spelling. `AUTO` when
        nothing was asked for and several languages are possible. None: it is no language, or none
        that the engine knows.
    """
    text = re.split("[.@]", asked.strip(), maxsplit=1)[0].casefold().replace("_", "-")
    if text in _UNSAID:
        return known[0] if len(known) == 1 else AUTO
    if text in known:  # needs no library, and so no time
        return text
    if len(text) > TEXT_MAX:
        return None
    return _by_tag(text, known) or _by_name(text.replace("-", " "), known)


def _by_tag(text: str, known: Sequence[str]) -> str | None:
    """The language of a well-formed tag."""
    from langcodes import Language, closest_supported_match
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = Language.get(text)
    except LanguageTagError:
        return None
    if tag.language is None or not tag.is_valid():
        return None
    if not known:
        return tag.to_tag()
    return closest_supported_match(
        tag, known, max_distance=_DISTANCE_MAX
    ) or closest_supported_match(tag.language, known, max_distance=_DISTANCE_MAX)


def _by_name(text: str, known: Sequence[str]) -> str | None:
    """The language whose English name this is, or a word of its name that no other one has."""
    found = [tag for code in _names().get(text, ()) if (tag := _by_tag(code, known))]
    if not found and known:
        words = [codes for name, codes in _names().items() if text in name.split()]
        found = [tag for codes in words for code in codes if (tag := _by_tag(code, known))]
    return found[0] if len(set(found)) == 1 or (found and not known) else None


@cache
def _names() -> Mapping[str, Sequence[str]]:
    """Codes by name in lower case, without remarks in brackets; the registry's order."""
    from langcodes.registry_parser import parse_registry

    names: dict[str, list[str]] = defaultdict(list)
    for entry in parse_registry():  # type: ignore[no-untyped-call]
        if entry.get("Type") == "language":
            for name in entry["Description"]:
                names[_BRACKETS.sub("", name).casefold()].append(entry["Subtag"])
    return names
