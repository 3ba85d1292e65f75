"""Add lines to the text of CHANGELOG.md, in the form of Keep a Changelog; pure functions."""

from __future__ import annotations

import re
import textwrap
from typing import Final

__all__ = ["NEW", "insert"]

NEW: Final = "# Changelog\n\nAll notable changes, in the form of Keep a Changelog.\n"
_SECTIONS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_COLUMNS: Final = 108


def insert(text: str, section: str, line: str) -> str:
    """Add an item to a section of `## [Unreleased]`; nothing else of the text changes.

    Args:
        text: The whole file. The heading and the section are added when they are absent.
        section: One of Added, Changed, Deprecated, Removed, Fixed, Security.
        line: The item, without its dash; wrapped when it is long.

    Returns:
        The new text. It is unchanged when the section has the same item already, so an interrupted
        edit can be repeated.
    """
    item = textwrap.fill(
        f"- {line}",
        _COLUMNS,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    ).splitlines()
    lines = text.removesuffix("\n").split("\n")
    start = _unreleased(lines)
    end = next((n for n in range(start, len(lines)) if lines[n].startswith("## ")), len(lines))
    begun, ended, head = _section(lines[start:end], section)
    if _holds(lines[start + begun : start + ended], item):
        return text
    after = start + ended
    while after > start + begun and not lines[after - 1].strip():
        after -= 1
    if head:
        item = ["", f"### {section}", *item]
    if head and after < len(lines) and lines[after].strip():
        item.append("")
    return "\n".join([*lines[:after], *item, *lines[after:]]) + "\n"


def _unreleased(lines: list[str]) -> int:
    """Index of the line after `## [Unreleased]`; the heading is added if it is absent."""
    for number, line in enumerate(lines):
        if re.match(r"##\s+\[?unreleased\]?", line, re.IGNORECASE):
            return number + 1
    first = next((n for n, line in enumerate(lines) if line.startswith("## ")), len(lines))
    before = [""] if first and lines[first - 1].strip() else []
    after = [""] if first < len(lines) else []
    lines[first:first] = [*before, "## [Unreleased]", *after]
    return first + len(before) + 1


def _section(block: list[str], section: str) -> tuple[int, int, bool]:
    """First and last line (exclusive) of a section, and whether its heading must be added."""
    borders = [number for number, line in enumerate(block) if line.startswith("### ")]
    heads: dict[str, int] = {}
    for number in borders:
        heads.setdefault(block[number].removeprefix("###").strip(), number)
    if section in heads:
        begun = heads[section]
        return begun, [*borders, len(block)][borders.index(begun) + 1], False
    later = _SECTIONS[_SECTIONS.index(section) + 1 :]
    place = min((heads[name] for name in later if name in heads), default=len(block))
    return place, place, True


def _holds(block: list[str], item: list[str]) -> bool:
    return any(block[n : n + len(item)] == item for n in range(len(block)))
