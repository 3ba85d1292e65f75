"""`glagol search`: turns that fit a query, by meaning and by words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from glagol.cli import output, report
from glagol.cli.commands.search.library import (
    index_option,
    opened,
    place,
    scope_of,
    scope_options,
)
from glagol.cli.options import home_option
from glagol.cli.texts.catalogue import translated

if TYPE_CHECKING:
    from glagol.rag.mentions import Counts

__all__ = ["search"]


@click.command()
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--count",
    "by",
    multiple=True,
    metavar="FACET",
    help="Count turns with all words of the query: by recording, folder, speaker, channel, tag,"
    " day or month.",
)
@scope_options
@index_option
@home_option
def search(
    query: str,
    limit: int,
    by: tuple[str, ...],
    form: Literal["text", "json"],
    folder: Path | None,
    model: str,
    home: Path,
    **given: Any,
) -> int:
    """Search transcripts, or count mentions.

    What stands in double quotes must be there word for word; endings of words do not count.
    Each hit says by which way it was found, and at which place.
    """
    with opened(home, folder, model) as library:
        if by:
            _show_counts(library.counted(query, scope_of(given), by), form)
            return 0
        hits = library.search(query, scope_of(given), limit)
    if form == "json":
        output.show(msgspec.json.encode(hits) + b"\n")
        return 0
    for number, hit in enumerate(hits, 1):
        ways = [
            f"{translated(name)} {at}"
            for name, at in (("meaning", hit.by_meaning), ("words", hit.by_words))
            if at
        ]
        line = f"{number}. {place(hit)}  ({', '.join(ways)})\n   {hit.turn.text}\n"
        output.show(line.encode())
    if not hits:
        report.note("nothing was found")
    return 0


def _show_counts(counts: Counts, form: Literal["text", "json"]) -> None:
    if form == "json":
        output.show(msgspec.json.encode(counts) + b"\n")
        return
    sums = f"{counts.turns} turns, {counts.recordings} recordings, {counts.speech_s:.0f} s"
    lines = [translated(sums)]
    for name, facets in counts.facets.items():
        lines.append(f"{name}:")
        lines += [f"  {each.turns:>6}  {each.value or '-'}" for each in facets]
    output.show(("\n".join(lines) + "\n").encode())
