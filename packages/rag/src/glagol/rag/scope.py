"""What a search may see: part of every query, never a filter behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which turns a search may see; None is no restriction, an empty tuple sees nothing.

    Attributes:
        owners: Of recordings; a server fills it from the key of the request.
        folders: Of recordings.
        recordings: Ids.
        speakers: Of turns.
        since: First day, `YYYY-MM-DD`.
        until: Last day.
    """

    owners: tuple[str, ...] | None = None
    folders: tuple[str, ...] | None = None
    recordings: tuple[str, ...] | None = None
    speakers: tuple[str, ...] | None = None
    since: str = ""
    until: str = ""

    def sql(self) -> tuple[str, list[str]]:
        """The condition on `recordings` r and `turns` t, and its values."""
        parts, values = ["1"], list[str]()
        rows: tuple[tuple[str, Sequence[str] | None], ...] = (
            ("r.owner", self.owners),
            ("r.folder", self.folders),
            ("r.id", self.recordings),
            ("t.speaker", self.speakers),
        )
        for column, allowed in rows:
            if allowed is not None:
                parts.append(f"{column} IN ({', '.join('?' * len(allowed))})")
                values += allowed
        for column, day in (("r.date >= ?", self.since), ("r.date <= ?", self.until)):
            if day:
                parts.append(column)
                values.append(day)
        return " AND ".join(parts), values
