"""`glagol serve-gateway`: pages and library in front of servers in other processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["serve_gateway"]


def _rows() -> tuple[Row, ...]:
    from glagol.gateway.settings import Settings

    return Settings.rows()


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--host", "--bind", "host", help="Address to listen on [GATEWAY_HOST].")
@click.option("--port", help="Port to listen on [GATEWAY_PORT].")
@click.option("--asr-url", help="Address of asr-server [GATEWAY_ASR_URL].")
def serve_gateway(**given: str | None) -> int:
    """Start pages and library in front of the other servers.

    Every GATEWAY_* environment variable counts; an option given here wins over its variable.
    """
    from glagol.gateway.server import main

    chosen = {f"GATEWAY_{name.upper()}": value for name, value in given.items() if value}
    return main({**os.environ, **chosen})
