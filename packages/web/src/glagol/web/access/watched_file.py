"""A small file that an operator may change while the process runs.

When a request needs it, the file is checked for a change, at most once a second. A change that
cannot be parsed is logged once, and the previous values stay in use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from glagol.core import journal
from glagol.core.errors import InputError

__all__ = ["Reloaded"]

T = TypeVar("T")
Stamp = tuple[int, int, int] | None

LOOK_S: Final = 1.0


class Reloaded(Generic[T]):
    """The parsed content of a file, read again when the file changes. Safe from any thread.

    Args:
        path: The file; it may be absent.
        parse: Makes the value from its bytes (None if it is absent); raises InputError.
        clock: Monotonic seconds.

    Raises:
        InputError: `setting_invalid`, the file exists and cannot be used.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes | None], T],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._parse = parse
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s = clock()
        self._stamp: Stamp | str = self._look()
        self._value = parse(self._read())

    def current(self) -> T:
        """The value of the file, or of its last version that could be parsed."""
        with self._lock:
            now = self._clock()
            if now - self._looked_s >= LOOK_S:
                self._looked_s = now
                self._refresh()
            return self._value

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._value = self._parse(self._read())
        except InputError as error:
            journal.error(
                "changed file refused, the one before still counts", error, file=self._path.name
            )
        else:
            journal.write("changed file read", file=self._path.name)

    def _look(self) -> Stamp | str:
        """Three file attributes, of which every edit changes at least one; None if it is absent."""
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return str(error.errno)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            if self._path.is_symlink():
                raise InputError(
                    "setting_invalid",
                    f"{self._path.name} is a link to a file that does not exist",
                    "restore the file, or remove the link",
                ) from error
            return None
        except OSError as error:
            raise InputError(
                "setting_invalid",
                f"{self._path.name} cannot be read: {error.strerror}",
                "let the server's user read it, or remove it",
            ) from error
