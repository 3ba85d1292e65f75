"""What the command says on stderr; results go to stdout, everything else comes through here."""

from __future__ import annotations

import click

from glagol.core.errors import CODES, GlagolError

__all__ = ["failure", "note"]


def failure(error: GlagolError, *, subject: str = "") -> int:
    """Print an error: code, message, remedy.

    Args:
        error: What happened.
        subject: The file or model it happened to.

    Returns:
        The exit status of its code.
    """
    before = f"{subject}: " if subject else ""
    click.echo(f"glagol: {before}{error.message} [{error.code}]", err=True)
    click.echo(f"  what to do: {error.remedy}", err=True)
    return CODES[error.code].exit_status


def note(text: str) -> None:
    """Print a remark."""
    click.echo(f"glagol: {text}", err=True)
