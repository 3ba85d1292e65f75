"""Requests of different addresses begin in turns."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.web.access.turns import AT_ONCE, Turns


async def _passes(arrivals: list[str], cancelled: frozenset[int] = frozenset()) -> dict[int, int]:
    """The pass of the loop in which each request began, by its place in `arrivals`."""
    turns, loop, began, number = Turns(), asyncio.get_running_loop(), {}, 0

    def count() -> None:
        nonlocal number
        number += 1
        loop.call_soon(count)

    async def one(place: int) -> None:
        await turns.take(arrivals[place])
        began[place] = number

    loop.call_soon(count)
    tasks = [asyncio.create_task(one(place)) for place in range(len(arrivals))]
    await asyncio.sleep(0)
    for place in cancelled:
        tasks[place].cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    return began


def test_a_burst_of_one_address_does_not_delay_another() -> None:
    arrivals = ["many"] * 1000 + ["other"]
    began = asyncio.run(_passes(arrivals))
    assert began[1000] <= 4
    assert max(began.values()) >= 1000 // AT_ONCE


def test_few_requests_begin_at_once() -> None:
    began = asyncio.run(_passes([f"192.0.2.{turn}" for turn in range(AT_ONCE)]))
    assert set(began.values()) == {min(began.values())}


@pytest.mark.parametrize("again", [1, 3])
def test_turns_begin_anew_after_rest(again: int) -> None:
    async def run() -> None:
        turns = Turns()
        for _ in range(again):
            await asyncio.gather(*(turns.take("many") for _ in range(3 * AT_ONCE)))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not turns._counting  # an idle server runs nothing

    asyncio.run(run())


@given(
    arrivals=st.lists(st.sampled_from("abc"), min_size=1, max_size=80),
    places=st.frozensets(st.integers(0, 79), max_size=40),
)
def test_every_request_begins_once_and_few_in_a_pass(
    arrivals: list[str], places: frozenset[int]
) -> None:
    gone = frozenset(place for place in places if place < len(arrivals))
    began = asyncio.run(_passes(arrivals, gone))
    assert set(range(len(arrivals))) - gone <= set(began)
    assert max(Counter(began.values()).values(), default=0) <= AT_ONCE
    for name in "abc":  # of one address in the order of arrival
        mine = [began[place] for place in sorted(began) if arrivals[place] == name]
        assert mine == sorted(mine)
