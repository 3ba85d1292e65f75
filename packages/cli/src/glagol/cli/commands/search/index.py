"""`glagol index`: transcripts into the index of search."""

from __future__ import annotations

import json
from pathlib import Path

import click

from glagol.cli import output, report
from glagol.cli.commands.search.library import index_option, opened
from glagol.cli.options import home_option
from glagol.core.errors import InputError

__all__ = ["index"]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--folder", "where", default="", help="Folder that the recordings belong to.")
@click.option("--date", default="", help="Day of the recordings, YYYY-MM-DD.")
@click.option("--tag", "tags", multiple=True, help="Tag of the recordings.")
@click.option("--forget", multiple=True, metavar="ID", help="Remove a recording from the index.")
@index_option
@home_option
def index(
    files: tuple[Path, ...],
    where: str,
    date: str,
    tags: tuple[str, ...],
    forget: tuple[str, ...],
    folder: Path | None,
    model: str,
    home: Path,
) -> int:
    """Put transcripts (JSON, as `glagol transcribe --format json` writes it) into the index.

    A recording's id is the name of its file. The same transcript again costs nothing.
    """
    from glagol.rag.turns import from_transcript

    _require_work(files, forget)
    recordings = [
        from_transcript(_read(path), path.stem, folder=where, date=date, tags=tags)
        for path in files
    ]
    with opened(home, folder, model) as library:
        for name in forget:
            if not library.forget(name):
                raise _absent(name)
            report.note(f"{name}: forgotten")
        for recording in recordings:
            fresh = library.put(recording)
            what = f"{len(recording.turns)} turns" if fresh else "as before"
            output.show(f"{recording.id}: {what}\n".encode())
    return 0


def _require_work(files: tuple[Path, ...], forget: tuple[str, ...]) -> None:
    if not files and not forget:
        raise InputError("option_invalid", "there is nothing to do", "name files, or --forget ID")


def _absent(name: str) -> InputError:
    return InputError("not_found", f"{name} is not in the index", "name an indexed file")


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            "not_found", f"{path} cannot be read: {error.strerror}", "check the path"
        ) from error
    except ValueError as error:
        raise InputError(
            "request_invalid",
            f"{path} is no JSON: {error}",
            "write it with glagol transcribe --format json",
        ) from error
