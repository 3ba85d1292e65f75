"""Events for open pages: one bounded queue for each page, without repetitions."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Events", "Page"]

PAGES_MAX: Final = 512


class Page:
    """Events that one open page has not received yet.

    Events of one kind about one recording fold into the last of them, so that a slow page costs no
    more memory than there are recordings, and gets the present state, not past ones.

    Attributes:
        over: The server is stopping.
    """

    def __init__(self) -> None:
        self.over = False
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}
        self._some = asyncio.Event()

    def put(self, event: dict[str, Any]) -> None:
        """Add an event, or let it take the place of an older one."""
        self._waiting.pop((event["type"], event.get("id", "")), None)
        self._waiting[event["type"], event.get("id", "")] = event
        self._some.set()

    def end(self) -> None:
        """Wake the waiting reader: no further events come."""
        self.over = True
        self._some.set()

    async def next(self) -> list[dict[str, Any]]:
        """Wait for events; all that there are, in order."""
        await self._some.wait()
        self._some.clear()
        events = list(self._waiting.values())
        self._waiting.clear()
        return events


class Events:
    """All open pages; used in the thread of the event loop alone.

    Attributes:
        closed: The server is stopping.
    """

    def __init__(self) -> None:
        self.closed = False
        self._pages: set[Page] = set()

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A page while it is open.

        Raises:
            LimitError: `busy`, there are too many.
        """
        if len(self._pages) >= PAGES_MAX:
            raise LimitError("busy", f"{PAGES_MAX} pages are open already", "close some of them")
        page = Page()
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)

    def recording(self, identity: str) -> None:
        """A recording has changed."""
        self._tell({"type": "recording", "id": identity})

    def removed(self, identity: str) -> None:
        """A recording is gone."""
        self._tell({"type": "removed", "id": identity})

    def edited(self, identity: str, number: int, person: str) -> None:
        """A person has edited a recording."""
        self._tell({"type": "edit", "id": identity, "edit": number, "person": person})

    def upstream(self, name: str, *, ready: bool) -> None:
        """A service has come or gone."""
        self._tell({"type": "service", "id": name, "ready": ready})

    def close(self) -> None:
        """The server is stopping: no page waits any longer."""
        self.closed = True
        for page in self._pages:
            page.end()

    def _tell(self, event: dict[str, Any]) -> None:
        for page in self._pages:
            page.put(event)
