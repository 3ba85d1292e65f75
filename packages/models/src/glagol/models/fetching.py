"""Fetch the files of one model in parallel, each with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from glagol.core.errors import InputError
from glagol.registry.manifest.types import Artifact, SourceFile

if TYPE_CHECKING:
    from glagol.models.progress import Bars
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["fetched", "recorded"]

_File = TypeVar("_File", Artifact, SourceFile)


def fetched(
    model: Model, registry: Registry, mirrors: Sequence[str], at_once: int, bars: Bars
) -> int:
    """Fetch every artifact of a model; returns their number.

    Raises:
        InputError: `option_invalid`, a mirror's address is wrong; `setting_invalid`, a mirror needs
            credentials.
        IntegrityError: `artifact_unpinned`, `artifact_missing`, `artifact_altered`.
        HostError: `disk_full`, `host_io`.
    """
    from glagol.registry.fetch_many import fetch_all

    found = {a.sha256: a for variant in model.variants for a in variant.artifacts}
    if not found:
        registry.variant(model)  # raises: the model was never built
    files = list(found.values())
    with _bars(model, files, bars) as progress:
        fetch_all(files, registry.store, mirrors=mirrors, at_once=at_once, progress=progress)
    return len(files)


def recorded(model: Model, registry: Registry, home: Path, at_once: int, bars: Bars) -> int:
    """Fetch every source file of a model, pin those without a digest, and write the entry.

    Args:
        model: The entry; its artifacts are its source files.
        registry: Its store takes the files.
        home: Where manifest.json is.
        at_once: How many files are fetched at the same time.
        bars: Shows the progress of each file.

    Returns:
        The number of source files.

    Raises:
        InputError: `option_invalid`, a builder makes the model's artifacts, or the entry names no
            files.
        IntegrityError: `artifact_missing`, `artifact_altered`.
        HostError: `disk_full`, `host_io`.
    """
    from glagol.models.build import Recorder
    from glagol.models.engines import is_built
    from glagol.registry.fetch_many import fetch_all
    from glagol.registry.manifest.edit import unbuilt

    if is_built(model.engine) or any(file.archive for file in model.source.files):
        raise InputError(
            "option_invalid",
            f"{model.id} is built from its source files",
            f"run `glagol models build {model.id} --fetch --record`",
        )
    if not model.source.files:
        raise InputError(
            "option_invalid",
            f"the manifest names no file of {model.id}",
            f"give their addresses: `glagol models bump {model.id} --version V --source URL ...`",
        )
    with _bars(model, model.source.files, bars) as progress:
        files = fetch_all(
            model.source.files, registry.store, at_once=at_once, pinning=True, progress=progress
        )
    source = msgspec.structs.replace(model.source, files=files)
    entry = unbuilt(msgspec.structs.replace(model, source=source), built=False)
    Recorder(registry, home).write(entry)
    return len(files)


@contextmanager
def _bars(
    model: Model, files: Sequence[_File], bars: Bars
) -> Iterator[Callable[[_File, int, int | None], None]]:
    """Show one progress bar for each file; yields a callback that moves the bar of a file."""
    with ExitStack() as stack:
        movers = {
            file.sha256 or file.path: stack.enter_context(
                bars.counter(f"{model.id} {file.path}", least=0)
            )
            for file in files
        }

        def progress(file: _File, done: int, total: int | None) -> None:
            move = movers[file.sha256 or file.path]
            if move is not None:
                move(done, total)

        yield progress
