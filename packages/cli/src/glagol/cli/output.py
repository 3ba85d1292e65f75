"""Write a transcript to standard output, or atomically to a file.

A finished result is not lost: if it cannot be written, it is written to another folder.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from glagol.core.errors import HostError
from glagol.core.files import host_error
from glagol.speech.output.formats import FORMATS

__all__ = ["keep", "show"]

STDIN: Final = "-"
STDOUT: Final = Path("standard output")


def show(data: bytes) -> None:
    """Write to standard output as UTF-8, whatever the terminal's locale says.

    The data is not buffered, since a buffered failure is noticed only at the end of the program.

    Raises:
        BrokenPipeError: The reader closed the pipe.
        HostError: `disk_full`; `host_io`, standard output is closed or cannot be written.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.flush()
        buffer = sys.stdout.buffer
        raw, left = getattr(buffer, "raw", buffer), memoryview(data)
        while left:
            written = raw.write(left)
            if written is None:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            left = left[written:]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise host_error(error, STDOUT) from error


def keep(data: bytes, name: str, form: str, error: HostError) -> HostError:
    """Write a result that could not be written to its target to a new file.

    The working directory is tried first, then the system's folder for temporary files.

    Args:
        data: The result.
        name: Name of the input.
        form: Name of the result's format.
        error: Why it could not be written.

    Returns:
        The same error; its remedy names the new file, or says that there is none.
    """
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        with suppress(OSError):
            extension = FORMATS[form].extension
            handle, path = tempfile.mkstemp(extension, f"{_stem(name)}-", folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
            except OSError:
                Path(path).unlink()
                raise
            return HostError(error.code, error.message, f"the transcript is kept in {path}")
    return HostError(
        error.code, error.message, "free some space and transcribe again: no place took the result"
    )


def _stem(name: str) -> str:
    return Path(name).stem if name != STDIN else "stdin"
