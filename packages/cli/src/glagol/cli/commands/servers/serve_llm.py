"""`glagol serve-llm`: the language model's HTTP server in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["serve_llm"]


def _rows() -> tuple[Row, ...]:
    from glagol.llm.settings import Settings

    return Settings.rows()


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--host", "--bind", "host", help="Address to listen on [LLM_HOST].")
@click.option("--port", help="Port to listen on [LLM_PORT].")
@click.option("--model", help="Model id or alias [LLM_MODEL_NAME].")
@click.option("--device", help="cpu or cuda [LLM_DEVICE].")
@click.option("--python", help="Interpreter of vLLM's environment [LLM_PYTHON].")
@click.option("--memory", help="Share of the device's memory for vLLM [LLM_MEMORY].")
@home_option
def serve_llm(home: Path, **given: str | None) -> int:
    """Start the language model's HTTP server, and vLLM under it.

    Every LLM_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.llm.server import main

    names = {"model": "LLM_MODEL_NAME"}
    chosen = {
        names.get(name, f"LLM_{name.upper()}"): value
        for name, value in given.items()
        if value is not None
    }
    return main({**os.environ, **chosen, "GLAGOL_HOME": str(home)})
