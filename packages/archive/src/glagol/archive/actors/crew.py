"""A bounded number of equal actors: calls wait for a place, an actor that dies is replaced."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from glagol.archive.sources import Source

__all__ = ["Actor", "Crew", "Gate", "LostError", "Member"]

LOSSES_MAX: Final = 200
"""Actors of one crew that may die in a run."""


class LostError(Exception):
    """An actor died, or its machine is away."""


class Actor(Protocol):
    """A process that does one call at a time, or a few."""

    async def ask(self, method: str, *args: Any) -> bytes:
        """Call a method.

        Raises:
            LostError: the actor is gone.
        """

    async def cut(self, name: str, most: int) -> tuple[bytes, Any]:
        """The next windows of a reader's recording, and a handle of their sound.

        Raises:
            LostError: the actor is gone.
        """

    def kill(self) -> None:
        """End it now."""


@dataclass(eq=False, slots=True)
class Member:
    """An actor of a crew.

    Attributes:
        actor: the process.
        load: calls or recordings that it has now.
        gone: whether it died.
        unsaved: recordings whose rows wait in it, by name.
    """

    actor: Actor
    load: int = 0
    gone: bool = False
    unsaved: dict[str, Source] = field(default_factory=dict)


class Gate:
    """A number of places; of those that wait, the lowest rank is next."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def enter(self, rank: float) -> None:
        """Wait for a place."""
        if self._free > 0:
            self._free -= 1
            return
        self._count += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, self._count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._free += 1
        while self._waiting and self._free > 0:
            turn = heapq.heappop(self._waiting)[-1]
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


class Crew:
    """Actors of one kind.

    Args:
        start: makes the actor with a number.
        size: how many there are.
        slots: places of each.
    """

    def __init__(self, start: Callable[[int], Awaitable[Actor]], size: int, slots: int) -> None:
        self._start, self._size, self._slots = start, size, slots
        self._gate = Gate(size * slots)
        self._numbers = 0
        self._replacing = asyncio.Lock()
        self.members: list[Member] = []

    async def begin(self) -> None:
        """Start all actors.

        Raises:
            GlagolError: as `start`.
        """
        self.members = list(await asyncio.gather(*(self._started() for _ in range(self._size))))

    @property
    def places(self) -> int:
        """How many calls it takes at a time."""
        return self._size * self._slots

    @asynccontextmanager
    async def place(self, rank: float, wanted: Member | None = None) -> AsyncIterator[Member]:
        """A place in the member with the most free ones; the lowest rank is served first.

        Args:
            rank: of the caller.
            wanted: the member that alone will do.
        """
        await self._gate.enter(rank)
        while not self.members:  # the last one is being replaced
            await asyncio.sleep(0)
            async with self._replacing:
                pass
        member = wanted or min(self.members, key=lambda each: each.load)
        member.load += 1
        try:
            yield member
        finally:
            member.load -= 1
            self._gate.leave()

    async def replace(self, lost: Member) -> bool:
        """Start another actor in the place of one that died; without room for it there are fewer.

        Returns:
            Whether this call did it: of all that saw it die, one is first.

        Raises:
            HostError: `cluster_small`, too many died, or there is no room for a single one.
        """
        async with self._replacing:
            if lost.gone:
                return False
            lost.gone = True
            lost.actor.kill()
            if self._numbers >= self._size + LOSSES_MAX:
                raise HostError(
                    "cluster_small",
                    f"{LOSSES_MAX} actors died",
                    "look for what kills them, usually the lack of memory; then use --resume",
                )
            self.members.remove(lost)
            try:
                self.members.append(await self._started())
            except HostError:
                if not self.members:
                    raise
            return True

    async def _started(self) -> Member:
        self._numbers += 1
        return Member(await self._start(self._numbers))
