"""`glagol index`: transcripts into the index of search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glagol.cli import output, report
from glagol.cli.commands.search.library import index_option, opened
from glagol.cli.options import home_option
from glagol.core.errors import InputError

if TYPE_CHECKING:
    from glagol.rag.turns import Recording

__all__ = ["index"]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--library",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the pages' library: every recording of it that has a text.",
)
@click.option("--folder", "where", default="", help="Folder that the recordings belong to.")
@click.option("--date", default="", help="Day of the recordings, YYYY-MM-DD.")
@click.option("--tag", "tags", multiple=True, help="Tag of the recordings.")
@click.option("--forget", multiple=True, metavar="ID", help="Remove a recording from the index.")
@index_option
@home_option
def index(
    files: tuple[Path, ...],
    root: Path | None,
    where: str,
    date: str,
    tags: tuple[str, ...],
    forget: tuple[str, ...],
    folder: Path | None,
    model: str,
    home: Path,
) -> int:
    """Put transcripts (JSON, as `glagol transcribe --format json` writes it) into the index.

    A recording's id is the name of its file, or the library's id; then its folder is the number of
    the library's. The same transcript again costs nothing.
    """
    from glagol.rag.turns import from_transcript

    _require_work(files, forget, root)
    recordings = [
        from_transcript(_read(path), path.stem, folder=where, date=date, tags=tags)
        for path in files
    ]
    with opened(home, folder, model) as library:
        for name in forget:
            if not library.forget(name):
                raise _absent(name)
            report.note(f"{name}: forgotten")
        for recording in (*recordings, *_of_library(root)):
            fresh = library.put(recording)
            what = f"{len(recording.turns)} turns" if fresh else "as before"
            output.show(f"{recording.id}: {what}\n".encode())
    return 0


def _require_work(files: tuple[Path, ...], forget: tuple[str, ...], root: Path | None) -> None:
    if not files and not forget and root is None:
        remedy = "name files, --library DIR, or --forget ID"
        raise InputError("option_invalid", "there is nothing to do", remedy)


def _of_library(root: Path | None) -> Iterator[Recording]:
    """The recordings of the pages' library, one at a time; none without one."""
    if root is None:
        return
    from glagol.gateway.library.library import Library
    from glagol.gateway.work import outbox
    from glagol.rag.turns import from_transcript

    if not (root / "library.sqlite").is_file():
        remedy = "name the directory library in the pages' directory of state"
        raise InputError("not_found", f"there is no library in {root}", remedy)
    library = Library(root)
    try:
        for identity in sorted(outbox.differences(library.db, set())):
            body = outbox.put_of(library.db, identity)
            if body is not None:
                said = json.loads(body)
                yield from_transcript(said.pop("transcript"), identity, **said)
    finally:
        library.close()


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
