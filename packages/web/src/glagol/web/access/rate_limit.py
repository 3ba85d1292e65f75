"""Limits of one caller: requests per minute, and concurrent requests.

The state is in the memory of this process. The rate limit is the generic cell rate algorithm
(GCRA): a caller may send the requests of a whole minute at once, and its allowance refills evenly.
The state is one number per caller.

Source of the algorithm: ITU-T I.371, virtual scheduling.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Final

from glagol.core.errors import LimitError

__all__ = ["Concurrency", "Rate", "RateLimitError"]

CALLERS_MAX: Final = 10_000
MINUTE_S: Final = 60.0
_ROUNDING_S: Final = 1e-6


class RateLimitError(LimitError):
    """A caller is over its limit; it may retry after `retry_after_s` whole seconds."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(
            "rate_limited", message, f"try again in {retry_after_s} s, or ask for a higher limit"
        )
        self.retry_after_s = retry_after_s


class Rate:
    """Requests per minute of each caller; beyond `callers_max` the least recent is forgotten."""

    def __init__(self, callers_max: int = CALLERS_MAX) -> None:
        self._callers_max = callers_max
        self._next_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._next_s)

    def take(self, caller: str, per_minute: int, now_s: float) -> None:
        """Count one request.

        Args:
            caller: Name of the caller.
            per_minute: How many it may make; 0 means any number.
            now_s: Monotonic seconds.

        Raises:
            RateLimitError: It sent too many; this request is not counted.
        """
        if per_minute == 0:
            return
        pause_s = MINUTE_S / per_minute
        next_s = max(self._next_s.get(caller, now_s), now_s)
        early_s = next_s - now_s - (MINUTE_S - pause_s)
        if early_s > _ROUNDING_S:
            raise RateLimitError(f"more than {per_minute} requests a minute", math.ceil(early_s))
        self._next_s[caller] = next_s + pause_s
        self._next_s.move_to_end(caller)
        if len(self._next_s) > self._callers_max:
            self._next_s.popitem(last=False)


class Concurrency:
    """Concurrent requests of each caller."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    def enter(self, caller: str, limit: int) -> None:
        """A request begins; `leave` must follow.

        Args:
            caller: Name of the caller.
            limit: How many may run; 0 means any number.

        Raises:
            RateLimitError: As many are running already.
        """
        if limit and self._running[caller] >= limit:
            raise RateLimitError(f"more than {limit} requests at one time", 1)
        self._running[caller] += 1

    def leave(self, caller: str) -> None:
        """A request is over."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
