"""`--help` in the language of the user's locale: click's own formatter, given other texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click

from glagol.cli.texts.catalogue import translated

__all__ = ["Formatter"]

EXTRA: Final = re.compile(
    r"^(?P<text>.*?)(?P<space>\s*)\[(?P<extra>[^\[\]]*(\[[^\]]*\])?)\]$", re.DOTALL
)
DEFAULT: Final = "default: "


class Formatter(click.HelpFormatter):
    """Translates what it is given before it is laid out."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The line of the command's form."""
        words = " ".join(translated(word) for word in args.split(" "))
        super().write_usage(prog, words, f"{translated(prefix or 'Usage:').rstrip()} ")

    def write_heading(self, heading: str) -> None:
        """The line above a list."""
        super().write_heading(translated(heading))

    def write_text(self, text: str) -> None:
        """Paragraphs; each is an entry of its own."""
        super().write_text("\n\n".join(translated(part) for part in text.split("\n\n")))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """A list of names with their meanings."""
        super().write_dl([(name, _meaning(text)) for name, text in rows], col_max, col_spacing)


def _meaning(text: str) -> str:
    """A meaning, with what click adds in brackets: the default, a range, `required`."""
    whole = translated(text)
    found = EXTRA.fullmatch(text)
    if whole != text or found is None:
        return whole
    pieces = [
        translated(DEFAULT.strip()) + " " + translated(piece.removeprefix(DEFAULT))
        if piece.startswith(DEFAULT)
        else translated(piece)
        for piece in found["extra"].split("; ")
    ]
    return f"{_meaning(found['text'])}{found['space']}[{'; '.join(pieces)}]"
