"""Places in actors: the first of those that wait, and actors that die."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from glagol.archive.actors.crew import LOSSES_MAX, Crew, Gate
from glagol.core.errors import HostError


@dataclass
class Numbered:
    """An actor that only has a number."""

    number: int
    killed: bool = False

    async def ask(self, method: str, *args: Any) -> bytes:
        """Nothing to say."""
        del method, args
        return b""

    async def cut(self, name: str, most: int) -> tuple[bytes, Any]:
        """Nothing to cut."""
        del name, most
        return b"", None

    def kill(self) -> None:
        """Remembered."""
        self.killed = True


async def numbered(number: int) -> Numbered:
    return Numbered(number)


def test_the_lowest_rank_is_next() -> None:
    """A call that came first waits behind a longer recording, and no place is lost by a cancel."""

    async def run() -> list[float]:
        gate, order = Gate(1), []
        await gate.enter(0)

        async def wait(rank: float) -> None:
            await gate.enter(rank)
            order.append(rank)
            gate.leave()

        waiting = [asyncio.create_task(wait(rank)) for rank in (3, 1, 2)]
        gone = asyncio.create_task(wait(0))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        gate.leave()
        await asyncio.gather(*waiting)
        await asyncio.wait_for(gate.enter(9), 5)
        return order

    assert asyncio.run(run()) == [1, 2, 3]


def test_a_cancel_after_the_turn_came_gives_it_on() -> None:
    """A place that was handed to a task that ends is handed to the next one."""

    async def run() -> None:
        gate = Gate(1)
        await gate.enter(0)
        late = asyncio.create_task(gate.enter(1))
        await asyncio.sleep(0)
        gate.leave()
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        await asyncio.wait_for(gate.enter(2), 5)

    asyncio.run(run())


def test_calls_are_spread_and_bounded() -> None:
    """Two actors of two places take four calls, two each; the fifth waits."""

    async def run() -> None:
        crew = Crew(numbered, 2, 2)
        await crew.begin()
        places = [crew.place(0) for _ in range(4)]
        members = [await place.__aenter__() for place in places]
        assert [member.load for member in crew.members] == [2, 2]
        fifth = asyncio.create_task(crew.place(0).__aenter__())
        await asyncio.sleep(0)
        assert not fifth.done()
        await places[0].__aexit__(None, None, None)
        assert await fifth is members[0]

    asyncio.run(run())


def test_a_crew_without_room_continues_with_fewer() -> None:
    """A call waits while the only actor is replaced; the last one without room is an error."""

    async def run() -> None:
        room = [True, True]

        async def start(number: int) -> Numbered:
            await asyncio.sleep(0)
            if not room:
                raise HostError("cluster_small", "no room", "add nodes")
            room.pop()
            return Numbered(number)

        crew = Crew(start, 2, 1)
        await crew.begin()
        assert await crew.replace(crew.members[0])
        assert len(crew.members) == 1
        room.append(True)
        replaced = asyncio.create_task(crew.replace(crew.members[0]))
        await asyncio.sleep(0)
        async with crew.place(0) as member:
            assert not member.gone
        assert await replaced
        with pytest.raises(HostError):
            await crew.replace(crew.members[0])

    asyncio.run(run())


def test_a_dead_actor_is_replaced_once() -> None:
    """Of all calls that see it die one starts another; a crew that only dies gives up."""

    async def run() -> None:
        crew = Crew(numbered, 2, 1)
        await crew.begin()
        lost = crew.members[0]
        assert sorted(await asyncio.gather(crew.replace(lost), crew.replace(lost))) == [False, True]
        assert isinstance(lost.actor, Numbered)
        assert lost.actor.killed
        assert [m.actor.number for m in crew.members if isinstance(m.actor, Numbered)] == [2, 3]
        for _ in range(LOSSES_MAX - 1):
            assert await crew.replace(crew.members[0])
        with pytest.raises(HostError) as given_up:
            await crew.replace(crew.members[0])
        assert given_up.value.code == "cluster_small"

    asyncio.run(run())
