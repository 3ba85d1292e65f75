"""What works beside the requests of the gateway, as long as the server runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from glagol.core import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

__all__ = ["Background"]


class Background:
    """Tasks that begin and end together.

    Args:
        works: Each is run until it is cancelled.
    """

    def __init__(self, works: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        self._works = works
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin all, in the running loop."""
        self._tasks = [asyncio.create_task(_kept(work)) for work in self._works]

    async def close(self) -> None:
        """Cancel all, and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _kept(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await work()
    except Exception:  # noqa: BLE001 - a mistake of one must not end the server
        journal.write("unexpected exception", level=logging.ERROR, error=True)
