"""What the command says on stderr; results go to stdout, everything else comes through here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from glagol.cli import streams
from glagol.core.errors import CODES, GlagolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.types import Notice

__all__ = ["failure", "note", "warnings"]


def failure(error: GlagolError, *, subject: str = "") -> int:
    """Print an error: code, message, remedy.

    Args:
        error: What happened.
        subject: The file or model it happened to.

    Returns:
        The exit status of its code.
    """
    before = f"{subject}: " if subject else ""
    _say(f"glagol: {before}{error.message} [{error.code}]\n  what to do: {error.remedy}")
    return CODES[error.code].exit_status


def warnings(notices: Sequence[Notice], *, subject: str) -> None:
    """Print what a recording or a model lacks: what and where, and the code.

    Args:
        notices: of one transcript.
        subject: the file.
    """
    for notice in notices:
        _say(f"glagol: {subject}: warning: {notice.message} [{notice.code}]")


def note(text: str) -> None:
    """Print a remark."""
    _say(f"glagol: {text}")


def _say(text: str) -> None:
    """Write to stderr; a full disk or a reader that left there must not end the work."""
    try:
        click.echo(text, err=True)
    except OSError:
        streams.discard(sys.stderr)  # else the interpreter fails on the rest at its end
