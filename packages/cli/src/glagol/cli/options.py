"""What commands share: `--home`, and a help that lists the environment variables of a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from glagol.cli.home import default_home
from glagol.cli.texts.catalogue import language

if TYPE_CHECKING:
    from glagol.core.settings import Row
    from glagol.speech.phrases.types import Phrase

__all__ = [
    "ServerCommand",
    "home_option",
    "phrase_options",
    "phrases_of",
    "search_options",
    "speaker_options",
    "writing_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home DIR` to a command."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        envvar="GLAGOL_HOME",
        default=".",
        callback=_home,
        show_default="this installation's",
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


def phrase_options(command: Command) -> Command:
    """Add the phrases that are expected."""
    one = click.option(
        "--phrase", multiple=True, help="Words that are expected; as often as needed."
    )
    file = click.option(
        "--phrases",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file of such words, one phrase a line; a weight may follow: word^2.",
    )
    return one(file(command))


def phrases_of(file: Path | None, lines: Sequence[str]) -> tuple[Phrase, ...]:
    """The phrases of a file and of lines.

    Raises:
        InputError: `option_invalid`, they are too many, or the file is not UTF-8.
    """
    from glagol.core.errors import InputError
    from glagol.speech.phrases.types import LIST_BYTES_MAX, listed

    if file is None:
        return listed(lines)
    try:
        with file.open("rb") as opened:
            text = opened.read(LIST_BYTES_MAX).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "option_invalid", f"{file} is not UTF-8", "save it as UTF-8, one phrase a line"
        ) from error
    return listed([*text.splitlines(), *lines])


def speaker_options(command: Command) -> Command:
    """Add whether it is said who speaks, and what is known of how many."""
    diarize = click.option(
        "--diarize", is_flag=True, help="Say who speaks; S1 is the first to speak."
    )
    number = click.option("--num-speakers", type=int, help="How many people speak, if known.")
    least = click.option("--min-speakers", type=int, help="At least so many.")
    most = click.option("--max-speakers", type=int, help="At most so many.")
    return diarize(number(least(most(command))))


def writing_options(command: Command) -> Command:
    """Add how the text is written."""
    numbers = click.option(
        "--numbers",
        type=click.Choice(["words", "digits"]),
        default="words",
        show_default=True,
        help="digits: write numbers of Russian speech so; JSON keeps what was said.",
    )
    redact = click.option(
        "--redact", is_flag=True, help="Mask numbers of telephones, cards and passports."
    )
    return numbers(redact(command))


def _home(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """The folder that was given, else this installation's; a relative one is the caller's."""
    given = ctx.get_parameter_source(parameter.name or "")
    return default_home() if given is ParameterSource.DEFAULT else value


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
            formatter.write_dl(help_lines(self._rows(), language(os.environ)))
        super().format_epilog(ctx, formatter)
