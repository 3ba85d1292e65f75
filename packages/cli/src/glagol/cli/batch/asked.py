"""Turn the options of a call into recordings, formats and output files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from glagol.cli.batch.inputs import Input, collected
from glagol.cli.batch.targets import Existing, Job, planned
from glagol.speech.output.formats import FORMATS

__all__ = ["DEFAULT", "DEFAULT_FILE", "Forms", "asked"]

DEFAULT: Final = "text"  # on standard output: a line for each recording
DEFAULT_FILE: Final = "txt"  # in files: paragraphs


class Forms(click.ParamType[tuple[str, ...]]):
    """One format or several, separated by commas."""

    name = "format"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The formats' names."""
        found = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for form in found:
            if form not in FORMATS:
                choices = ", ".join(map(repr, FORMATS))
                self.fail(f"{form!r} is not one of {choices}.", param, ctx)
        return found

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """As `--help` shows it."""
        return f"[{'|'.join(FORMATS)}],..."

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[Any]:
        """The formats that begin so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(form) for form in FORMATS if form.startswith(incomplete)]


def asked(
    files: tuple[str, ...],
    *,
    given: tuple[tuple[str, ...], ...],
    place: Path | None,
    folder: Path | None,
    recursive: bool,
    skip_existing: bool,
    force: bool,
) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """The recordings with where their results go, and the formats.

    Args:
        files: As typed.
        given: Formats, of each time that -f was given.
        place: Of -o.
        folder: Of --output-dir.
        recursive: Whether folders below folders are searched.
        skip_existing: Whether a recording with all its results is left out.
        force: Whether results that exist are written anew.

    Raises:
        UsageError: Options that contradict each other.
        InputError: `audio_not_found`, `option_invalid`, `output_exists`.
    """
    if place and folder:
        raise click.UsageError("-o and --output-dir say the same: give one of them")
    if skip_existing and force:
        raise click.UsageError("--skip-existing keeps what --force writes anew: give one of them")
    inputs = collected(files, recursive=recursive)
    forms = tuple(dict.fromkeys(form for several in given for form in several))
    if place is None and folder is None:
        if skip_existing or force:
            raise click.UsageError("--skip-existing and --force are about the files of -o")
        return tuple(map(Job, inputs)), forms or (DEFAULT,)
    existing = {(True, False): Existing.SKIP, (False, True): Existing.REPLACE}
    policy = existing.get((skip_existing, force), Existing.REFUSE)
    if place is not None:
        forms = forms or _named(inputs, place) or (DEFAULT_FILE,)
        return planned(inputs, forms, place, policy), forms
    forms = forms or (DEFAULT_FILE,)
    # a folder is one whatever its name looks like
    jobs = planned(inputs, forms, folder or Path(), policy, folder=True)
    return jobs, forms


def _named(inputs: tuple[Input, ...], place: Path) -> tuple[str, ...]:
    """The format that the name of one result asks for."""
    if len(inputs) != 1 or place.is_dir():
        return ()
    fitting = [row.name for row in FORMATS.values() if row.extension == place.suffix.lower()]
    return tuple(fitting[-1:])
