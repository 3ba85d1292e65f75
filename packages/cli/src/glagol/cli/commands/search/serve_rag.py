"""`glagol serve-rag`: the HTTP server for search in transcripts, in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["serve_rag"]


def _rows() -> tuple[Row, ...]:
    from glagol.rag.http.settings import Settings

    return Settings.rows()


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--host", "--bind", "host", help="Address to listen on [RAG_HOST].")
@click.option("--port", help="Port to listen on [RAG_PORT].")
@click.option("--model", help="Model id or alias [RAG_MODEL_NAME].")
@click.option("--llm-url", help="Address of llm-server [RAG_LLM_URL].")
@click.option("--device", help="cpu or cuda [RAG_DEVICE].")
@home_option
def serve_rag(home: Path, **given: str | None) -> int:
    """Start the HTTP server that searches transcripts.

    Every RAG_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.rag.http.server import main

    names = {"model": "RAG_MODEL_NAME"}
    chosen = {
        names.get(name, f"RAG_{name.upper()}"): value
        for name, value in given.items()
        if value is not None
    }
    return main({**os.environ, **chosen, "GLAGOL_HOME": str(home)})
