"""The `glagol` command: imports a subcommand when it is called, and maps errors to exit statuses.

`glagol --help` must be quick, so this module imports little more than click and the error table.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from glagol.cli import report, streams
from glagol.cli.texts.help import Formatter
from glagol.core.errors import EXIT_INTERRUPTED, GlagolError
from glagol.core.files import DISK_FULL, host_error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]

_COMMANDS: Final = {
    "transcribe": (
        "glagol.cli.commands.transcribe:transcribe",
        "Transcribe audio files and folders.",
    ),
    "archive": (
        "glagol.cli.commands.archive:archive",
        "Transcribe a whole archive into tables, on many cores or machines.",
    ),
    "summarize": ("glagol.cli.commands.summarize:summarize", "Summarise a transcript."),
    "serve": ("glagol.cli.commands.servers.commands:serve", "Start the HTTP server."),
    "serve-llm": (
        "glagol.cli.commands.servers.commands:serve_llm",
        "Start the language model's HTTP server.",
    ),
    "serve-embed": (
        "glagol.cli.commands.servers.commands:serve_embed",
        "Start the HTTP server that turns texts into vectors.",
    ),
    "serve-rag": (
        "glagol.cli.commands.servers.commands:serve_rag",
        "Start the HTTP server that searches transcripts.",
    ),
    "serve-gateway": (
        "glagol.cli.commands.servers.commands:serve_gateway",
        "Start pages and library in front of the other servers.",
    ),
    "index": (
        "glagol.cli.commands.search.index:index",
        "Put transcripts into the search index.",
    ),
    "search": (
        "glagol.cli.commands.search.search:search",
        "Search transcripts by meaning and by words.",
    ),
    "ask": (
        "glagol.cli.commands.search.ask:ask",
        "Answer a question from transcripts, with citations.",
    ),
    "mcp": (
        "glagol.cli.commands.search.mcp:mcp",
        "Serve search and answers to MCP clients, read-only.",
    ),
    "worker": ("glagol.cli.commands.worker:worker", "Run a worker that processes queued jobs."),
    "settings": (
        "glagol.cli.commands.settings:settings",
        "List every setting of the servers.",
    ),
    "keys": ("glagol.cli.commands.keys:keys", "Add, list and revoke keys of the HTTP server."),
    "people": (
        "glagol.cli.commands.people:people",
        "Add, list and remove people who sign in to the pages.",
    ),
    "audit": (
        "glagol.cli.commands.audit:audit",
        "Verify the audit log, show its entries about a job.",
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
    "completion": (
        "glagol.cli.completion:completion",
        "Print the completion script of a shell.",
    ),
    "env-check": (
        "glagol.cli.commands.env_check:env_check",
        "Check that this machine can run Glagol.",
    ),
}


class LazyGroup(click.Group):
    """Group whose subcommands are imported when one is run, not when they are listed."""

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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table, so that completing one imports none of them."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write names and summaries from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Print release, manifest and environment, and exit."""
    if not value or ctx.resilient_parsing:
        return
    import os

    from glagol.cli.home import default_home
    from glagol.cli.version import version_lines

    given = os.environ.get("GLAGOL_HOME")
    click.echo("\n".join(version_lines(Path(given) if given else default_home())))
    ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show release, commit, manifest, default model and environment.",
)
def glagol() -> None:
    """Speech to text on your own machine, with models that can be proven."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Arguments without the program's name; None means those of the process.

    Returns:
        The exit status: 0, the status of the error's code, or 130 when interrupted. Unexpected
        exceptions are not caught: Python prints a traceback and exits with 1.
    """
    for stream in (sys.stdout, sys.stderr):
        streams.utf8(stream)
    click.Context.formatter_class = Formatter
    try:
        status = glagol.main(arguments, prog_name="glagol", standalone_mode=False)
    except click.ClickException as error:
        return report.usage(error)
    except (click.Abort, KeyboardInterrupt):
        report.note("interrupted")
        return EXIT_INTERRUPTED
    except GlagolError as error:
        return report.failure(error)
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        streams.discard(sys.stdout)
        return report.failure(host_error(error, Path("standard output")))
    return status if isinstance(status, int) else 0
