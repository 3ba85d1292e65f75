"""Where the manifest and the store are: `--home`, GLAGOL_HOME, GLAGOL_STORE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    pass

__all__ = ["home_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home DIR` to a command."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        envvar="GLAGOL_HOME",
        default=".",
        show_default="current directory",
        help="Directory of manifest.json and store/ [GLAGOL_HOME].",
    )(command)
