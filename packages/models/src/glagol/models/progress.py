"""Progress of long work, as the caller shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["Bars"]


class Bars(Protocol):
    """A display of several counters."""

    def counter(
        self, name: str, *, least: float
    ) -> AbstractContextManager[Callable[[float, float | None], None] | None]:
        """A callback (done, total or None); a bar appears for totals of at least `least`."""
