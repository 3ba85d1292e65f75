"""Where a transcript goes: standard output, or a file that is whole or not there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from glagol.core.errors import InputError
from glagol.speech.output.formats import FORMATS

__all__ = ["show", "targets"]

STDIN: Final = "-"


def targets(names: Sequence[str], form: str, folder: Path) -> list[Path]:
    """One file in `folder` for each input.

    Raises:
        InputError: `option_invalid`, two inputs would get the same file.
    """
    paths = [
        folder / ((Path(name).stem if name != STDIN else "stdin") + FORMATS[form].extension)
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


def show(data: bytes) -> None:
    """Write to standard output as UTF-8, whatever the terminal's locale says."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
