"""Estimate when a job will be done, from the measured speed of finished jobs."""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["Throughput"]

_WEIGHT: Final = 0.2


class Throughput:
    """Moving averages of one runner's speed; no estimate before the first job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._audio_s = 0.0
        self._wall_s = 0.0
        self._count = 0.0

    def note(self, audio_s: float, wall_s: float) -> None:
        """A job with `audio_s` seconds of audio was done in `wall_s` seconds."""
        with self._lock:
            keep = 1 - _WEIGHT
            self._audio_s = keep * self._audio_s + audio_s
            self._wall_s = keep * self._wall_s + wall_s
            self._count = keep * self._count + 1

    def eta_s(self, ahead: int, left_s: float | None) -> float | None:
        """Seconds until a job is done.

        Args:
            ahead: Jobs before it, each as long as the average one.
            left_s: Seconds of its own audio that are left; None counts as an average job.

        Returns:
            An estimate; None while nothing was measured.
        """
        with self._lock:
            if not self._count or self._wall_s <= 0 or self._audio_s <= 0:
                return None
            mean_s = self._wall_s / self._count
            own_s = mean_s if left_s is None else left_s * self._wall_s / self._audio_s
        return round(ahead * mean_s + own_s, 1)
