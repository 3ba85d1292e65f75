"""Fair shares of a pool: one owner may use most of it, and others still find room.

An owner may hold at most `alone / (1 - alone)` times what is left free, less an eighth of the pool,
which is kept for owners that hold nothing. With 64 places and the default of 0.75, one owner gets
42 of them and 22 stay free for others; two greedy owners get 24 each and leave 16. The
share of each owner shrinks as others come, and the number of owners need not be known.

Source of the algorithm: A. K. Choudhury and E. L. Hahne, Dynamic Queue Length Thresholds for
Shared-Memory Packet Switches, IEEE/ACM Transactions on Networking 6(2), 1998.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from glagol.core.errors import LimitError

__all__ = ["ALONE", "Shares", "allowed", "refusal"]

ALONE: Final = 0.75
"""The part of a pool that one owner may hold while no other owner holds anything."""

KEPT: Final = 8
"""An owner that holds something cannot have the last `1 / KEPT` of a pool."""

_FULL: Final = "wait until others are done, then try again"
_SHARE: Final = "wait until one of yours is done, then try again"


def allowed(size: float, used: float, mine: float, amount: float, alone: float = ALONE) -> bool:
    """Whether an owner may take `amount` more of a pool without taking another owner's place.

    Args:
        size: Of the pool.
        used: What all owners hold.
        mine: What this owner holds of that.
        amount: What it asks for.
        alone: The part that one owner may hold alone, above 0; 1 means that there are no shares.
    """
    free = size - used - amount
    if alone >= 1 or mine <= 0:
        return free >= 0
    return (mine + amount) * (1 - alone) <= (free - size // KEPT) * alone


class Shares:
    """Divide one pool fairly between owners; thread-safe.

    Args:
        size: How much there is, in places or bytes.
        noun: What is counted, in words for a message, such as "bodies being received".
        alone: See `allowed`.
    """

    def __init__(self, size: int, noun: str, alone: float = ALONE) -> None:
        self.size = size
        self._noun = noun
        self._alone = alone
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._used = 0

    @property
    def used(self) -> int:
        """What all owners hold."""
        return self._used

    def of(self, owner: str) -> int:
        """What `owner` holds."""
        return self._held[owner]

    def offer(self, owner: str, amount: int = 1) -> bool:
        """Take `amount` for `owner` if its share allows it; `leave` must follow if it does."""
        with self._lock:
            fits = allowed(self.size, self._used, self._held[owner], amount, self._alone)
            if fits:
                self._held[owner] += amount
                self._used += amount
            return fits

    def take(self, owner: str, amount: int = 1) -> None:
        """Take `amount` for `owner`; `leave` must follow.

        Raises:
            LimitError: `share_used`, `owner` holds its share; `busy`, the pool is full.
        """
        if not self.offer(owner, amount):
            raise refusal(self._noun, self.of(owner))

    def check(self, owner: str) -> None:
        """Raise what `take` would raise for one more; take nothing."""
        with self._lock:
            fits = allowed(self.size, self._used, self._held[owner], 1, self._alone)
        if not fits:
            raise refusal(self._noun, self.of(owner))

    def leave(self, owner: str, amount: int = 1) -> None:
        """Give `amount` back."""
        with self._lock:
            self._held[owner] -= amount
            self._used -= amount
            if self._held[owner] <= 0:
                del self._held[owner]

    @contextmanager
    def held(self, owner: str, amount: int = 1) -> Iterator[None]:
        """Hold `amount` while a block runs; raises as `take`."""
        self.take(owner, amount)
        try:
            yield
        finally:
            self.leave(owner, amount)


def refusal(noun: str, mine: int, remedy: str = _SHARE) -> LimitError:
    """The error for an owner that gets no more of a pool.

    Args:
        noun: What the pool counts.
        mine: What the owner holds of it.
        remedy: What an owner does that holds its share.
    """
    if mine:
        return LimitError("share_used", f"your share of {noun} is used up: {mine}", remedy)
    return LimitError("busy", f"there is no room for more {noun}", _FULL)
