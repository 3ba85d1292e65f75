"""The command's entry: subcommands by name, imported when called; errors by the table.

`glagol --help` must answer at once, so this module imports click and the error table only.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import click

from glagol.cli import report, streams
from glagol.core.errors import EXIT_INTERRUPTED, GlagolError
from glagol.core.files import DISK_FULL, host_error
from glagol.core.version import VERSION

__all__ = ["main"]

_COMMANDS: Final = {
    "transcribe": (
        "glagol.cli.commands.transcribe:transcribe",
        "Write what is said in audio files.",
    ),
    "summarize": ("glagol.cli.commands.summarize:summarize", "Say what matters of a transcript."),
    "serve": ("glagol.cli.commands.serve:serve", "Start the HTTP server."),
    "serve-llm": (
        "glagol.cli.commands.serve_llm:serve_llm",
        "Start the language model's HTTP server.",
    ),
    "serve-embed": (
        "glagol.cli.commands.search.serve_embed:serve_embed",
        "Start the HTTP server that turns texts into vectors.",
    ),
    "worker": ("glagol.cli.commands.worker:worker", "Work the queue of jobs beside servers."),
    "settings": (
        "glagol.cli.commands.settings:settings",
        "List every setting of the servers.",
    ),
    "keys": ("glagol.cli.commands.keys:keys", "Add, list and revoke keys of the HTTP server."),
    "audit": (
        "glagol.cli.commands.audit:audit",
        "Verify the audit log, show what it says of a job.",
    ),
    "models": (
        "glagol.cli.commands.models:models",
        "List, verify, fetch, build, edit and roll back models.",
    ),
    "demo": ("glagol.cli.commands.demo:demo", "Transcribe the bundled clip and compare."),
    "bundle": (
        "glagol.cli.commands.bundle:bundle",
        "Pack, verify, install, roll back offline bundles.",
    ),
    "plan-gpu": (
        "glagol.cli.commands.plan_gpu:plan_gpu",
        "Divide a card between speech and language model.",
    ),
    "env-check": ("glagol.cli.commands.env_check:env_check", "Say what this machine lacks."),
}


class LazyGroup(click.Group):
    """Subcommands that are imported when one is run, not when all are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import the command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Names and summaries from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="glagol")
def glagol() -> None:
    """Offline Russian speech recognition with provable models."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; None takes those of the process.

    Returns:
        The exit status: 0, that of the error's code, or 130 when interrupted. A bug is not
        caught: Python prints its traceback and exits with 1.
    """
    for stream in (sys.stdout, sys.stderr):
        streams.utf8(stream)
    try:
        status = glagol.main(arguments, prog_name="glagol", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        report.note("interrupted")
        return EXIT_INTERRUPTED
    except GlagolError as error:
        return report.failure(error)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        streams.discard(sys.stdout)
        return report.failure(host_error(error, Path("standard output")))
    return status if isinstance(status, int) else 0
