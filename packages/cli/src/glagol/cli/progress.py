"""A progress bar on stderr for recordings that take a while, when stderr is a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

if TYPE_CHECKING:
    from glagol.speech.types import Progress

__all__ = ["Bars"]

LONG_S: Final = 60.0


class Bars:
    """Bars of several files or downloads at once; does nothing when `stream` is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._display: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.stop()

    @contextmanager
    def bar(self, name: str) -> Iterator[Callable[[Progress], None] | None]:
        """A callback for the progress of one recording; None without a terminal."""
        with self.counter(name, least=LONG_S) as advance:
            yield (lambda p: advance(p.done_s, p.total_s)) if advance else None

    @contextmanager
    def counter(
        self, name: str, *, least: float
    ) -> Iterator[Callable[[float, float | None], None] | None]:
        """A callback (done, total or None); a bar appears for totals of at least `least`."""
        if not self._stream.isatty():
            yield None
            return
        task: list[Any] = []

        def advance(done: float, total: float | None) -> None:
            if total is not None and total < least:
                return
            display = self._shown()
            if not task:
                task.append(display.add_task(name, total=total))
            display.update(task[0], completed=done, total=total)

        try:
            yield advance
        finally:
            if task:
                self._shown().remove_task(task[0])

    def _shown(self) -> Any:
        """The display, made when the first bar is needed."""
        with self._lock:
            if self._display is None:
                from rich.console import Console
                from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

                self._display = Progress(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    TextColumn("{task.percentage:>3.0f} %"),
                    TimeRemainingColumn(),
                    console=Console(file=self._stream),
                    transient=True,
                )
                self._display.start()
            return self._display
