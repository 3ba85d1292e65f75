"""Counts by name, for threads."""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["Counts"]


class Counts:
    """How often each of a few names was counted; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count `name` once."""
        with self._lock:
            self._counts[name] += 1

    def items(self) -> list[tuple[str, int]]:
        """Names and counts as they are now, by name."""
        with self._lock:
            return sorted(self._counts.items())
