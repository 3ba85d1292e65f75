"""What commands share: `--home`, and a help that lists the environment variables of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from glagol.core.settings import Row

__all__ = ["ServerCommand", "home_option", "search_options"]

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


def search_options(command: Command) -> Command:
    """Add what a model that searches for its text can be asked: task, window, prompt."""
    task = click.option(
        "--task",
        type=click.Choice(["transcribe", "translate"]),
        default="transcribe",
        show_default=True,
        help="translate: English text, where the model can.",
    )
    window = click.option(
        "--window",
        type=click.Choice(["cropped", "full"]),
        help="What the encoder reads: the speech and a margin, or whole windows, which is slower."
        " The model's own rule otherwise.",
    )
    prompt = click.option(
        "--prompt", default="", help="What was said before, names to know; where the model can."
    )
    return task(window(prompt(command)))


class ServerCommand(click.Command):
    """A command whose help ends with the variables of its server.

    Args:
        rows: Gives the settings; called for the help alone, so that they are imported then.
    """

    def __init__(self, *args: Any, rows: Callable[[], Sequence[Row]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows = rows

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the variables with meaning and default."""
        from glagol.core.settings_page import help_lines

        with formatter.section("Environment variables (ranges: glagol settings)"):
            formatter.write_dl(help_lines(self._rows()))
        super().format_epilog(ctx, formatter)
