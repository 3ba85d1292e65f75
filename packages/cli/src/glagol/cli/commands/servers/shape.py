"""The shape of a command that starts a server: options stand for variables, and win over them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from glagol.cli.options import ServerCommand, home_option

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["server"]

Start = Callable[[dict[str, str]], int]
Command = TypeVar("Command", bound=Callable[..., int])
_HELP: Final = {
    "host": "Address to listen on",
    "port": "Port to listen on",
    "model": "Model id or alias",
    "variant": "Variant id",
    "device": "cpu or cuda",
    "asr_url": "Address of asr-server",
    "llm_url": "Address of llm-server",
}
_VARIABLES: Final = {"model": "MODEL_NAME"}


def server(
    settings: str, *options: str, home: bool = True, **own: str
) -> Callable[[Start], click.Command]:
    """Make a command of a function that gets the environment and returns the exit status.

    Args:
        settings: Module of the server's settings, such as `glagol.asr.settings`.
        *options: Attributes of the settings that have an option, beside host and port.
        home: Whether the server reads a manifest.
        **own: More of them, with what the help says of each.
    """

    def rows() -> tuple[Row, ...]:
        found: tuple[Row, ...] = importlib.import_module(settings).Settings.rows()
        return found

    prefix = f"{settings.split('.')[1].upper()}_"

    def command(start: Start) -> click.Command:
        def run(home: Path | None = None, **given: str | None) -> int:
            chosen = {
                _variable(prefix, k): value for k, value in given.items() if value is not None
            }
            if home is not None:
                chosen["GLAGOL_HOME"] = str(home)
            return start({**os.environ, **chosen})

        run.__name__, run.__doc__ = start.__name__, start.__doc__
        decorated = home_option(run) if home else run
        helps = {name: _HELP[name] for name in ("host", "port", *options)} | own
        for name in reversed(helps):
            decorated = _option(prefix, name, helps[name])(decorated)
        return click.command(cls=ServerCommand, rows=rows)(decorated)

    return command


def _variable(prefix: str, name: str) -> str:
    return prefix + _VARIABLES.get(name, name.upper())


def _option(prefix: str, name: str, meaning: str) -> Callable[[Command], Command]:
    flags = ("--host", "--bind") if name == "host" else (f"--{name.replace('_', '-')}",)
    return click.option(*flags, name, help=f"{meaning} [{_variable(prefix, name)}]")
