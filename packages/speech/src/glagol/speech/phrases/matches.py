"""Places where phrases may be written, and which of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Match", "chosen"]


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase at a place.

    Attributes:
        start: first frame.
        end: the frame after the last one.
        cost: nats that it pays.
        budget: nats that it may pay.
        labels: of its frames, one each.
    """

    start: int
    end: int
    cost: float
    budget: float
    labels: tuple[int, ...]


def chosen(matches: Iterable[Match]) -> list[Match]:
    """Of matches those that save most of their budgets and have no common frame, by start."""
    taken: list[Match] = []
    order = sorted(matches, key=lambda m: (m.cost - m.budget, m.start, m.end, m.labels))
    for match in order:
        if all(match.end <= other.start or other.end <= match.start for other in taken):
            taken.append(match)
    return sorted(taken, key=lambda match: match.start)
