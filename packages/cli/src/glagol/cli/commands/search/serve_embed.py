"""`glagol serve-embed`: the HTTP server for vectors of texts, in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["serve_embed"]


def _rows() -> tuple[Row, ...]:
    from glagol.embed.settings import Settings

    return Settings.rows()


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--host", "--bind", "host", help="Address to listen on [EMBED_HOST].")
@click.option("--port", help="Port to listen on [EMBED_PORT].")
@click.option("--model", help="Model id or alias [EMBED_MODEL_NAME].")
@click.option("--variant", help="Build of the model [EMBED_VARIANT].")
@click.option("--device", help="cpu or cuda [EMBED_DEVICE].")
@home_option
def serve_embed(home: Path, **given: str | None) -> int:
    """Start the HTTP server that turns texts into vectors.

    Every EMBED_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.embed.server import main

    names = {"model": "EMBED_MODEL_NAME"}
    chosen = {
        names.get(name, f"EMBED_{name.upper()}"): value
        for name, value in given.items()
        if value is not None
    }
    return main({**os.environ, **chosen, "GLAGOL_HOME": str(home)})
