"""Collect the recordings of a call: files, folders, patterns, standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from glagol.core.errors import InputError
from glagol.speech.audio.allowed import SUFFIXES

__all__ = ["Input", "collected"]

STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """One recording.

    Attributes:
        name: its path as it can be opened, or `-` for standard input.
        folder: where it lies below the folder that was named; empty for a file that was named.
    """

    name: str
    folder: Path = Path()


def collected(names: Sequence[str], *, recursive: bool) -> tuple[Input, ...]:
    """The recordings that the arguments mean, in their order; those of a folder by name.

    Args:
        names: Files, folders, patterns (`*`, `?`, `[..]`, `**`; a name that exists is none) or `-`.
        recursive: Whether folders below a named one are searched.

    Returns:
        The inputs. A recording that a folder or pattern finds again is not repeated. A file that
        is named and does not exist is among them: opening it says so.

    Raises:
        InputError: `audio_not_found`, a folder or pattern without a recording; `option_invalid`,
            standard input twice.
    """
    if names.count(STDIN) > 1:
        raise InputError("option_invalid", "- is given twice", "standard input can be read once")
    found: list[Input] = []
    seen: set[str] = set()
    for name in names:
        expanded = _expanded(name, recursive=recursive)
        if expanded is None:
            found.append(Input(name))
            seen.add(str(Path(name).absolute()))
            continue
        for each in expanded:
            path = str(Path(each.name).absolute())
            if path not in seen:
                seen.add(path)
                found.append(each)
    return tuple(found)


def _expanded(name: str, *, recursive: bool) -> list[Input] | None:
    """What a folder or pattern holds; None for a plain file."""
    path = Path(name)
    if name != STDIN and path.is_dir():
        files = _below(path, recursive=recursive)
        inputs = [Input(str(file), file.parent.relative_to(path)) for file in files]
        if not inputs:
            remedy = (
                "name the files themselves, whatever their names end in"
                if recursive
                else "name the files themselves, whatever their names end in;"
                " -r searches the folders below it as well"
            )
            raise InputError(
                "audio_not_found",
                f"{name} holds no recording (.wav, .mp3, .m4a, .ogg, .mp4 and others)",
                remedy,
            )
        return inputs
    if name == STDIN or not glob.has_magic(name) or path.exists():
        return None
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    named = [match for match in matches if Path(match).is_file()]
    if not named:
        raise InputError(
            "audio_not_found", f"nothing is called {name}", "check the pattern and the folder"
        )
    return [Input(match) for match in named]


def _below(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Recordings in a folder, hidden ones aside; links to folders are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if recursive else []
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES:
                yield Path(place, file)
