"""What the command says on stderr; results go to stdout, everything else comes through here."""

from __future__ import annotations

from contextlib import suppress

import click

from glagol.cli.texts.catalogue import translated
from glagol.core.errors import CODES, GlagolError

__all__ = ["failure", "note", "usage"]


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


def note(text: str) -> None:
    """Print a remark."""
    _say(f"glagol: {translated(text)}")


def _say(text: str) -> None:
    """Write to stderr; a full disk or a reader that left there must not end the work."""
    with suppress(OSError):
        click.echo(text, err=True)
