"""`glagol ask`: an answer from transcripts, with citations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from glagol.cli import output
from glagol.cli.commands.search.library import (
    index_option,
    opened,
    place,
    scope_of,
    scope_options,
)
from glagol.cli.options import home_option
from glagol.cli.texts.catalogue import translated

__all__ = ["ask"]


@click.command()
@click.argument("question")
@click.option("--llm-url", default="", envvar="LLM_URL", help="URL of llm-server [LLM_URL].")
@click.option("--llm-key", default="", envvar="LLM_KEY", help="Bearer key [LLM_KEY].")
@click.option("--limit", type=click.IntRange(1, 20), default=6, show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@scope_options
@index_option
@home_option
def ask(
    question: str,
    llm_url: str,
    llm_key: str,
    limit: int,
    form: Literal["text", "json"],
    folder: Path | None,
    model: str,
    home: Path,
    **given: Any,
) -> int:
    """Answer a question from transcripts.

    With --llm-url a language model writes the answer; a sentence that it cannot prove is marked.
    Without one the answer is the turns themselves. How often, most, first and last are counted
    in the index.
    """
    from glagol.rag.answers import NOT_FOUND, asked
    from glagol.rag.talk import chat

    with opened(home, folder, model) as library:
        talk = chat(llm_url, llm_key) if llm_url else None
        answer = asked(library, question, scope_of(given), limit, talk)
    if form == "json":
        output.show(msgspec.json.encode(answer) + b"\n")
        return 0
    if not answer.found:
        output.show(f"{NOT_FOUND['ru']} {NOT_FOUND['en']}\n".encode())
        return 0
    for sentence in answer.sentences:
        cited = "".join(f"[{number}]" for number in sentence.citations)
        doubt = "" if sentence.supported else f" ({translated('not proven by the recordings')})"
        output.show(f"{sentence.text} {cited}{doubt}\n".encode())
    output.show(b"\n")
    for number, hit in enumerate(answer.hits, 1):
        output.show(f"[{number}] {place(hit)}\n".encode())
    return 0
