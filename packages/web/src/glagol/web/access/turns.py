"""Give requests turns on the event loop, fairly between addresses.

Hundreds of requests that arrive at once would all take their first step in one pass of the loop,
and whatever another caller waits for would come after all of them, once for every step of its
request. So a pass of the loop begins a few requests only; the others wait, and the addresses that
have some waiting take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ["AT_ONCE", "Turns"]

AT_ONCE: Final = 8
"""Requests that one pass of the loop begins; the first step of one takes about a millisecond."""


class Turns:
    """The turns of one event loop.

    Args:
        at_once: Requests that one pass of the loop begins.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the next address is first
        self._counting = False

    async def take(self, address: str) -> None:
        """Return when a request may begin: at once while few come.

        Args:
            address: Of the caller, as shares count it.
        """
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._pass, loop)
        if self._left:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        await turn

    def _pass(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the next requests; ends when none waits."""
        self._left = self._at_once
        while self._left and self._waiting:
            address = next(iter(self._waiting))
            turns = self._waiting.pop(address)
            turn = turns.popleft()
            if turns:
                self._waiting[address] = turns  # behind all others
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                self._left -= 1
        self._counting = self._left < self._at_once
        if self._counting:
            loop.call_soon(self._pass, loop)
