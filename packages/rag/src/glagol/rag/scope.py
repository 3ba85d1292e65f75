"""What a search may see: part of every query, never a filter behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which turns a search may see; None is no restriction, an empty tuple sees nothing.

    Attributes:
        owners: Of recordings; a server fills it from the key of the request.
        folders: Of recordings.
        recordings: Ids.
        speakers: Of turns.
        channels: Of turns, from 0; -1 where a recording has none.
        tags: Of recordings; one of them is enough.
        confidence: Least mean confidence of a turn, 0..1; turns without one are not seen.
        since: First day, `YYYY-MM-DD`.
        until: Last day.
    """

    owners: tuple[str, ...] | None = None
    folders: tuple[str, ...] | None = None
    recordings: tuple[str, ...] | None = None
    speakers: tuple[str, ...] | None = None
    channels: tuple[int, ...] | None = None
    tags: tuple[str, ...] | None = None
    confidence: float | None = None
    since: str = ""
    until: str = ""

    def sql(self) -> tuple[str, list[Any]]:
        """The condition on `recordings` r and `turns` t, and its values."""
        parts, values = ["1"], list[Any]()
        rows: tuple[tuple[str, Sequence[Any] | None], ...] = (
            ("r.owner", self.owners),
            ("r.folder", self.folders),
            ("r.id", self.recordings),
            ("t.speaker", self.speakers),
            ("t.channel", self.channels),
        )
        for column, allowed in rows:
            if allowed is not None:
                parts.append(f"{column} IN ({', '.join('?' * len(allowed))})")
                values += allowed
        if self.tags is not None:
            marks = ", ".join("?" * len(self.tags))
            tagged = f"SELECT recording FROM tags WHERE tag IN ({marks})"  # noqa: S608
            parts.append(f"r.id IN ({tagged})")
            values += self.tags
        if self.confidence is not None:
            parts.append("t.confidence >= ?")
            values.append(self.confidence)
        for column, day in (("r.date >= ?", self.since), ("r.date <= ?", self.until)):
            if day:
                parts.append(column)
                values.append(day)
        return " AND ".join(parts), values
