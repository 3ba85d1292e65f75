"""`glagol completion`: the script that lets a shell complete commands, options and files."""

from __future__ import annotations

import click

__all__ = ["completion"]


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the script that lets SHELL complete commands, options and models.

    \b
    bash: glagol completion bash >~/.local/share/bash-completion/completions/glagol
    zsh:  glagol completion zsh >DIR/_glagol        (DIR is one of $fpath)
    fish: glagol completion fish >~/.config/fish/completions/glagol.fish
    """
    from click.shell_completion import get_completion_class

    from glagol.cli.main import glagol

    made = get_completion_class(shell)
    if made is not None:  # click knows all that `Choice` takes
        click.echo(made(glagol, {}, "glagol", "_GLAGOL_COMPLETE").source(), nl=False)
