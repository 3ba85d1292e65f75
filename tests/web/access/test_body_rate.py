"""A body that comes too slowly is ended; one that takes its time fast enough is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from glagol.core.errors import GlagolError
from glagol.web.access.body_rate import BodyRate

GRACE_S, RATE = 0.1, 1000.0

Receive = Callable[[], Awaitable[Any]]


def sender(*parts: tuple[float, int], ends: bool = True) -> Receive:
    """A client: for each part a pause in seconds, then so many bytes; at the end it just stays."""
    left = list(parts)

    async def receive() -> Any:
        if not left:
            await asyncio.sleep(3 * GRACE_S)
            return {"type": "http.disconnect"}
        pause_s, size = left.pop(0)
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": bytes(size), "more_body": bool(left) or not ends}

    return receive


async def unused(_message: Any) -> None:
    """The side that no application here writes to."""


def bytes_read(receive: Receive, *, rule: BodyRate | None = None, work_s: float = 0.0) -> int:
    """How many bytes an application reads, up to the disconnect that follows the body."""
    rule, size = rule or BodyRate(RATE, GRACE_S), 0

    async def app(_scope: Any, receive: Receive, _send: Any) -> None:
        nonlocal size
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            await asyncio.sleep(work_s)

    async def run() -> None:
        scope: Any = {"type": "http"}
        await rule.around(app)(scope, receive, unused)

    asyncio.run(run())
    return size


@pytest.mark.parametrize(
    "parts",
    [
        [(0.0, 1), (10.0, 1)],  # one byte, then silence
        [(0.02, 1)] * 100,  # a byte at a time
        [(0.0, 1_000_000), (10.0, 1)],  # much at first does not buy an hour of silence
        [(10.0, 1)],  # nothing at all, as a stalled HTTP/2 stream
    ],
)
def test_a_slow_body_is_ended(parts: list[tuple[float, int]]) -> None:
    """Within the grace period and a little more, with its code."""
    began = time.monotonic()
    with pytest.raises(GlagolError) as caught:
        bytes_read(sender(*parts))
    assert caught.value.code == "body_too_slow"
    assert GRACE_S <= time.monotonic() - began < 10 * GRACE_S


def test_a_body_may_pause_and_take_long() -> None:
    """A pause within the grace period; twice the least rate for as long as it likes; any end."""
    assert bytes_read(sender((0.6 * GRACE_S, 0), (0.0, 10))) == 10
    assert bytes_read(sender(*[(0.03, 100)] * 8)) == 800
    assert bytes_read(sender((0.0, 5))) == 5  # then it waits for the answer, however long


def test_the_work_of_the_server_does_not_count() -> None:
    """Only the time that the application waits for the client."""
    assert bytes_read(sender(*[(0.0, 1)] * 4), work_s=0.6 * GRACE_S) == 4


def test_no_rate_is_no_limit() -> None:
    """0 switches it off."""
    assert bytes_read(sender((2 * GRACE_S, 1), (0.0, 1)), rule=BodyRate(0, GRACE_S)) == 2


@pytest.mark.parametrize("rate", [0.0, RATE])
def test_a_server_that_stops_ends_its_bodies(rate: float) -> None:
    """Those that wait already, and those that wait later."""
    rule = BodyRate(rate, 60.0)

    async def app(_scope: Any, receive: Receive, _send: Any) -> None:
        await receive()

    async def run() -> Sequence[Any]:
        scope: Any = {"type": "http"}

        def begun() -> asyncio.Task[None]:
            served: Any = rule.around(app)(scope, sender((10.0, 1)), unused)
            return asyncio.ensure_future(served)

        waits = begun()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rule.stop(0.05)
        return await asyncio.gather(waits, begun(), return_exceptions=True)

    began = time.monotonic()
    assert [each.code for each in asyncio.run(run())] == ["not_ready"] * 2
    assert time.monotonic() - began < 5
