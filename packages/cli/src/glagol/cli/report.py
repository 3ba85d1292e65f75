"""Messages of the command on stderr; results go to stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from glagol.cli import streams
from glagol.cli.texts.catalogue import translated
from glagol.core.errors import CODES, GlagolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Notice

__all__ = ["failure", "note", "usage", "warnings"]


def failure(error: GlagolError, *, subject: str = "") -> int:
    """Print an error: code, message, remedy.

    Args:
        error: What happened.
        subject: The file or model it happened to.

    Returns:
        The exit status of its code.
    """
    before = f"{subject}: " if subject else ""
    remedy = translated(f"what to do: {translated(error.remedy)}")
    _say(f"glagol: {before}{translated(error.message)} [{error.code}]\n  {remedy}")
    return CODES[error.code].exit_status


def usage(error: click.ClickException) -> int:
    """Print what is wrong with the arguments, and where they are explained; without any, the help.

    Args:
        error: What click found.

    Returns:
        The exit status, 2.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "glagol"
    remedy = translated(f"the options are listed by `{path} --help`")
    whole = translated(f"what to do: {remedy}")
    _say(f"glagol: {translated(error.format_message())}\n  {whole}")
    return error.exit_code


def warnings(notices: Sequence[Notice], *, subject: str) -> None:
    """Print what a recording or a model lacks: what and where, and the code.

    Args:
        notices: of one transcript.
        subject: the file.
    """
    for notice in notices:
        said = translated(f"warning: {notice.message}")
        _say(f"glagol: {subject}: {said} [{notice.code}]")


def note(text: str) -> None:
    """Print a remark."""
    _say(f"glagol: {translated(text)}")


def _say(text: str) -> None:
    """Write to stderr; a full disk or a reader that left there must not end the work."""
    try:
        click.echo(text, err=True)
    except OSError:
        streams.discard(sys.stderr)  # else the interpreter fails on the rest at its end
