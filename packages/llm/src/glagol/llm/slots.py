"""Limit of concurrent requests to the model."""

from __future__ import annotations

from collections.abc import Callable

from glagol.core.errors import LimitError

__all__ = ["Slots"]


class Slots:
    """Counting semaphore that raises `busy` when no slot is free.

    Args:
        limit: How many there are, 1 or more.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> Callable[[], None]:
        """Take one.

        Returns:
            Gives it back; further calls do nothing.

        Raises:
            LimitError: `queue_full`.
        """
        if self.taken >= self.limit:
            raise LimitError(
                "queue_full", f"the model works on {self.limit} requests", "try again later"
            )
        self.taken += 1
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self.taken -= 1

        return give_back
