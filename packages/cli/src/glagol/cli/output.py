"""Where a transcript goes: standard output, or a file that is whole or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from glagol.core.errors import InputError

__all__ = ["EXTENSIONS", "show", "targets", "write"]

EXTENSIONS: Final = {"json": ".json", "text": ".txt", "tsv": ".tsv", "srt": ".srt", "vtt": ".vtt"}
STDIN: Final = "-"


def targets(names: Sequence[str], form: str, folder: Path) -> list[Path]:
    """One file in `folder` for each input.

    Raises:
        InputError: `option_invalid`, two inputs would get the same file.
    """
    paths = [
        folder / ((Path(name).stem if name != STDIN else "stdin") + EXTENSIONS[form])
        for name in names
    ]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(
                "option_invalid",
                f"several inputs would be written to {path}",
                "give them different names, or transcribe them one after the other",
            )
    return paths


def write(path: Path, data: bytes) -> None:
    """Write a whole file: to a temporary name first, then renamed.

    Raises:
        HostError: `disk_full` or `host_io`.
    """
    from glagol.registry.store import host_error

    part = path.with_name(f".glagol-{os.getpid()}-{abs(hash(path.name))}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise host_error(error, path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def show(data: bytes) -> None:
    """Write to standard output as UTF-8, whatever the terminal's locale says."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
