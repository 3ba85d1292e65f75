"""Pauses between retries: exponential backoff, with a table by kind of work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DELIVERY", "TRANSCRIPTION", "Backoff"]

_POWER_MAX: Final = 20  # the pause is at most_s long before, and the power stays within a float


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff.

    Attributes:
        first_s: Seconds after the first try.
        factor: How much longer each further pause is.
        most_s: The longest pause; a longer one that a receiver asks for is cut to it.
    """

    first_s: float
    factor: float
    most_s: float

    def pause_s(self, tries: int, asked_s: float | None = None) -> float:
        """Seconds until the next try.

        Args:
            tries: How many there were, from 1.
            asked_s: The pause that the receiver asked for (Retry-After); the longer of both counts.
        """
        own = min(self.first_s * self.factor ** min(tries - 1, _POWER_MAX), self.most_s)
        return max(own, min(asked_s or 0.0, self.most_s))


TRANSCRIPTION: Final = Backoff(first_s=2.0, factor=4.0, most_s=300.0)
"""A transcription that failed: 2, 8, 32 ... 300 s."""

DELIVERY: Final = Backoff(first_s=5.0, factor=4.0, most_s=21600.0)
"""A webhook that its receiver did not accept: 5, 20, 80 s ... six hours."""
