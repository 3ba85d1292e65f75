"""Where the manifest and the store are: `--home`, GLAGOL_HOME, GLAGOL_STORE."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from glagol.registry.registry import Registry

__all__ = ["home_option", "load"]

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


def load(home: Path) -> Registry:
    """The registry at `home`; GLAGOL_STORE moves the store elsewhere.

    Raises:
        InputError: `setting_invalid`, there is no manifest.
        IntegrityError: `manifest_invalid`, `manifest_too_new`.
    """
    from glagol.registry.registry import Registry

    store = os.environ.get("GLAGOL_STORE")
    return Registry.load(home.absolute(), Path(store).absolute() if store else None)
