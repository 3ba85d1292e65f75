"""Longest recordings first, so that the last ones to end are short."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from glagol.archive.sources import Source

__all__ = ["LOOKAHEAD", "longest_first"]

LOOKAHEAD: Final = 50_000
"""Recordings among which the longest is chosen: memory is bounded by it."""


def longest_first(sources: Iterable[Source], lookahead: int = LOOKAHEAD) -> Iterator[Source]:
    """The same recordings, by falling size of their files; equal ones by name.

    Args:
        sources: in any order; they are listed as far as needed.
        lookahead: how many are held at a time.
    """
    held: list[tuple[int, str, int, Source]] = []
    for count, source in enumerate(sources):
        heapq.heappush(held, (-source.size_bytes, source.name, count, source))
        if len(held) > lookahead:
            yield heapq.heappop(held)[-1]
    while held:
        yield heapq.heappop(held)[-1]
