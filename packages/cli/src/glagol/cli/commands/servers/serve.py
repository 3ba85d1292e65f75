"""`glagol serve`: the HTTP server in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["serve"]


def _rows() -> tuple[Row, ...]:
    from glagol.asr.settings import Settings

    return Settings.rows()


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--host", "--bind", "host", help="Address to listen on [ASR_HOST].")
@click.option("--port", help="Port to listen on [ASR_PORT].")
@click.option("--model", help="Model id or alias [ASR_MODEL_NAME].")
@click.option("--variant", help="Variant id [ASR_VARIANT].")
@click.option("--device", help="cpu or cuda [ASR_DEVICE].")
@home_option
def serve(home: Path, **given: str | None) -> int:
    """Start the HTTP server.

    Every ASR_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.asr.server import main
    from glagol.gateway.front import Front

    names = {"model": "ASR_MODEL_NAME"}
    chosen = {
        names.get(name, f"ASR_{name.upper()}"): value
        for name, value in given.items()
        if value is not None
    }
    environment = {**os.environ, **chosen, "GLAGOL_HOME": str(home)}
    return main(environment, Front(environment))
