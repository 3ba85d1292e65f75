"""Fair shares of the waiting jobs, so that one owner's jobs do not fill the queue.

The queue counts jobs by kind, not by owner, and while keys are off its jobs have no owner. Apart
from retries and cancellations, jobs leave it in the order in which they were put. So if N jobs
wait, they are the last N that were put, and this module remembers the owners of those. Jobs of
other servers and from before this process started count for no owner; they use common room.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["Waiting"]


class Waiting:
    """Owners of the waiting jobs; thread-safe.

    Args:
        alone: The part of the queue that one owner may fill.
    """

    def __init__(self, alone: float = ALONE) -> None:
        self._alone = alone
        self._owners: deque[str] = deque()
        self._lock = Lock()

    def add(self, owner: str) -> None:
        """Record that a job of `owner` was put."""
        with self._lock:
            self._owners.append(owner)

    def admit(self, owner: str, waiting: int, most: int) -> None:
        """Check that `owner` may put one more job.

        Args:
            owner: Name of a key, or `@` and a client address.
            waiting: Jobs that wait now.
            most: Jobs that may wait.

        Raises:
            LimitError: `queue_full`, `share_used`.
        """
        with self._lock:
            while len(self._owners) > waiting:
                self._owners.popleft()
            mine = self._owners.count(owner)
        if waiting >= most:
            raise LimitError("queue_full", f"{most} jobs wait already", "try again later")
        if not allowed(most, waiting, mine, 1, self._alone):
            raise refusal("waiting jobs", mine)
