"""Fair shares of the waiting jobs, so that one owner's jobs do not fill the queue.

The queue itself counts jobs by kind, not by owner, and without keys it knows no owner at all. Apart
from retries and cancellations, jobs leave it in the order in which they came. So when N jobs wait,
they are the last N that were put, and this module keeps the owners of those. Jobs of other servers,
and jobs from before this process started, count for no owner: they reduce the room of all.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["Waiting"]


class Waiting:
    """The owners of the last jobs that were put; thread-safe.

    Args:
        alone: The part of the queue that one owner may have alone.
    """

    def __init__(self, alone: float = ALONE) -> None:
        self._alone = alone
        self._owners: deque[str] = deque()
        self._lock = Lock()

    def add(self, owner: str) -> None:
        """Note a job that was put."""
        with self._lock:
            self._owners.append(owner)

    def admit(self, owner: str, waiting: int, most: int) -> None:
        """Check that `owner` may put one more job.

        Args:
            owner: As shares count it.
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
