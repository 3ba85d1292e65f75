"""Whose the jobs are that wait, so that one owner's do not take every place in the queue.

The queue itself counts jobs of a kind, not of an owner, and without keys it knows no owner at all.
Jobs leave it in the order in which they came, but for retries and cancellations; so when N jobs
wait, they are the last N that were put, and a list of who put those is all there is to keep. What
other servers put, and what was put before this process began, is nobody's here: it leaves less room
for everybody alike.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from glagol.core.errors import LimitError
from glagol.core.shares import ALONE, allowed, refusal

__all__ = ["Waiting"]


class Waiting:
    """Who put the last jobs; safe from any thread.

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
        """See that `owner` may put one more job.

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
