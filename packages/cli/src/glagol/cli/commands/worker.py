"""`glagol worker`: works the queue of jobs in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["worker"]


def _rows() -> tuple[Row, ...]:
    from glagol.asr.settings import SERVER_ONLY, Settings

    return tuple(row for row in Settings.rows() if row.name not in SERVER_ONLY)


@click.command(cls=ServerCommand, rows=_rows)
@click.option("--check", is_flag=True, help="Only say whether a worker of this machine can work.")
@home_option
def worker(home: Path, *, check: bool) -> int:
    """Work the queue that servers share by ASR_REDIS_URL and ASR_STATE.

    Every ASR_* environment variable counts but ASR_HOST and ASR_PORT.
    """
    from glagol.asr import worker as process

    if check:
        process.check(os.environ)
        return 0
    return process.main({**os.environ, "GLAGOL_HOME": str(home)})
