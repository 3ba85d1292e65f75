"""Minimum rate for request bodies: a request that sends its body too slowly is refused.

A request has a budget of `GRACE_S` seconds. Waiting for the body uses it, and each byte that
arrives adds `1 / rate` seconds, up to `GRACE_S`. A body may therefore pause for `GRACE_S` at any
time, and over a longer time it must bring at least `rate` bytes per second. Only the time that the
application waits for the client counts, not the time that it works. Apache's module reqtimeout has
the same rule with the same default values.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import HostError, LimitError

if TYPE_CHECKING:
    from glagol.web.request_log import Asgi, Receive, Scope, Send

__all__ = ["GRACE_S", "BodyRate"]

GRACE_S: Final = 20.0


class BodyRate:
    """The minimum rate for all request bodies of one server.

    Args:
        rate: Bytes per second that a body must bring; 0 for no limit.
        grace_s: Seconds of budget.
        clock: Monotonic seconds.
    """

    def __init__(
        self, rate: float, grace_s: float = GRACE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._grace_s = grace_s
        self._clock = clock
        self._end_s = math.inf
        self._waiting: set[asyncio.Timeout] = set()

    def around(self, app: Asgi) -> Asgi:
        """Wrap the application, so that its `receive` raises when a body comes too slowly.

        It raises `body_too_slow`, or `not_ready` when the server stops meanwhile; the application
        answers both like any other error.
        """

        async def ruled(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                receive = _Body(self, receive).receive
            await app(scope, receive, send)

        return ruled

    def stop(self, within_s: float) -> None:
        """The server is stopping: bodies that are not complete within `within_s` seconds fail."""
        self._end_s = self._clock() + within_s
        end = asyncio.get_running_loop().time() + within_s
        for each in self._waiting:
            due = each.when()
            each.reschedule(end if due is None else min(due, end))

    async def message(self, receive: Receive, budget_s: float) -> tuple[Any, float]:
        """The next message, and the seconds of budget that are left after it.

        Raises:
            LimitError: `body_too_slow`.
            HostError: `not_ready`, the server is stopping.
        """
        began = self._clock()
        limit_s = min(budget_s if self._rate else math.inf, max(0.0, self._end_s - began))
        try:
            async with asyncio.timeout(None if limit_s == math.inf else limit_s) as waiting:
                self._waiting.add(waiting)
                try:
                    message = await receive()
                finally:
                    self._waiting.discard(waiting)
        except TimeoutError:
            raise self._late() from None
        now = self._clock()
        if self._rate:
            budget_s += began - now + len(message.get("body", b"")) / self._rate
        return message, min(max(budget_s, 0.0), self._grace_s)

    def begin(self) -> float:
        """The budget of a new body, in seconds."""
        return self._grace_s

    def _late(self) -> LimitError | HostError:
        if self._clock() >= self._end_s:
            return HostError(
                "not_ready", "the server is stopping", "send the request to another one"
            )
        return LimitError(
            "body_too_slow",
            f"the body brought less than {self._rate:g} bytes per second for {self._grace_s:g} s",
            "send it again over a faster connection, or a long recording by /v1/uploads",
        )


class _Body:
    """The body of one request."""

    def __init__(self, rule: BodyRate, receive: Receive) -> None:
        self._rule = rule
        self._receive = receive
        self._budget_s = rule.begin()
        self._over = False

    async def receive(self) -> Any:
        """The next message; after the end of the body there is no limit."""
        if self._over:
            return await self._receive()
        message, self._budget_s = await self._rule.message(self._receive, self._budget_s)
        self._over = not message.get("more_body", False)
        return message
