"""Configure the program's text streams: UTF-8, and no second error for a full disk."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["discard", "utf8"]


def utf8(stream: TextIO | None) -> None:
    """Let a stream of text take every letter and every name of a file, whatever the locale says."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and stream is not None:
        errors = "backslashreplace" if stream is sys.stderr else "surrogateescape"
        reconfigure(encoding="utf-8", errors=errors)


def discard(stream: TextIO | None) -> None:
    """Let go of what a stream could not write; the interpreter would fail on it once more."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # no descriptor, or closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
