"""What the commands of search share: where the index is, and what opens it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glagol.core.errors import InputError
from glagol.core.settings import state_home

if TYPE_CHECKING:
    from glagol.rag.library import Hit, Library
    from glagol.rag.scope import Scope

__all__ = ["clock", "index_option", "opened", "place", "scope_of", "scope_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def index_option(command: Command) -> Command:
    """Add `--index DIR` and `--model ID`."""
    folder = click.option(
        "--index",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        show_default="search in the directory of state",
        help="Directory of the index.",
    )
    model = click.option("--model", default="", help="Model of the vectors; id or alias.")
    return folder(model(command))


def scope_options(command: Command) -> Command:
    """Add what narrows a search."""
    for option in (
        click.option("--until", default="", help="Last day of recordings, YYYY-MM-DD."),
        click.option("--since", default="", help="First day of recordings, YYYY-MM-DD."),
        click.option("--tag", "tags", multiple=True, help="Tag of recordings."),
        click.option("--channel", "channels", multiple=True, type=int, help="Channel of a turn."),
        click.option(
            "--confidence", type=click.FloatRange(0, 1), help="Least mean confidence of a turn."
        ),
        click.option("--speaker", "speakers", multiple=True, help="Speaker of a turn."),
        click.option("--recording", "recordings", multiple=True, help="Id of a recording."),
        click.option("--folder", "folders", multiple=True, help="Folder of recordings."),
    ):
        command = option(command)
    return command


def scope_of(given: dict[str, Any]) -> Scope:
    """The scope of the options that `scope_options` adds."""
    from glagol.rag.scope import Scope

    return Scope(
        folders=given["folders"] or None,
        recordings=given["recordings"] or None,
        speakers=given["speakers"] or None,
        channels=given["channels"] or None,
        tags=given["tags"] or None,
        confidence=given["confidence"],
        since=given["since"],
        until=given["until"],
    )


@contextmanager
def opened(home: Path, folder: Path | None, model: str) -> Iterator[Library]:
    """The index, with its model, until the block ends.

    Raises:
        InputError: `option_invalid`, there is no place for it; `model_unknown`.
        IntegrityError: the model is not built yet, or altered.
        HostError: the index cannot be used.
    """
    from glagol.embed.engine import Embedder
    from glagol.rag.library import Library
    from glagol.registry.registry import Registry

    place = folder or (Path(found, "search") if (found := state_home(os.environ)) else None)
    if place is None:
        raise InputError("option_invalid", "there is no home directory", "name --index DIR")
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(home, Path(store) if store else None)
    embedder = Embedder.open(registry, model=model or None)
    library = Library(place, embedder)
    try:
        yield library
    finally:
        library.close()


def clock(seconds: float) -> str:
    """A time in a recording as players show it."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def place(hit: Hit) -> str:
    """Where a hit is: recording, day, time, speaker."""
    turn = hit.turn
    parts = (turn.title, turn.date, clock(turn.start_s), turn.speaker)
    return ", ".join(part for part in parts if part)
