"""The files of a table: rows are gathered, and written a file at a time, whole or not at all.

A file is called `part-GENERATION-WRITER-NUMBER.parquet`. Each run on a target has the next
generation, so names rise with time, and of two rows of one path the one in the later file counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from glagol.archive.actors.wire import Part
from glagol.archive.rows import FAILED, KEYS, RECORDINGS
from glagol.archive.tables import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from glagol.archive.places import Place

__all__ = ["FAILED_AT", "RECORDINGS_AT", "Parts", "generation_of", "part_names"]

RECORDINGS_AT: Final = "recordings"
FAILED_AT: Final = "failed"
_COLUMNS: Final = {RECORDINGS_AT: RECORDINGS, FAILED_AT: FAILED}

ROWS_MAX: Final = 500
SECONDS_MAX: Final = 3600.0
"""Sound whose rows wait to be written: what a crash of an actor costs."""


class Parts:
    """Writes one table, for one writer.

    Args:
        place: the target.
        table: `RECORDINGS_AT` or `FAILED_AT`.
        generation: of the run.
        writer: number of this writer in the run.
    """

    def __init__(self, place: Place, table: str, generation: int, writer: int) -> None:
        self._place, self._table = place, table
        self._stem = f"{table}/part-{generation:06}-{writer:06}"
        self._rows: list[Mapping[str, Any]] = []
        self._seconds = 0.0
        self._count = 0

    def add(self, row: Mapping[str, Any], seconds: float) -> tuple[Part, ...]:
        """Take a row; the file that it completed, if it did.

        Raises:
            HostError: `disk_full`, `host_io`.
        """
        self._rows.append(row)
        self._seconds += seconds
        full = len(self._rows) >= ROWS_MAX or self._seconds >= SECONDS_MAX
        return self.flush() if full else ()

    def flush(self) -> tuple[Part, ...]:
        """Write the rows that wait; the file, if there were any.

        Raises:
            HostError: `disk_full`, `host_io`.
        """
        if not self._rows:
            return ()
        name = f"{self._stem}-{self._count:06}.parquet"
        self._place.write(name, encoded(self._rows, _COLUMNS[self._table]))
        keys = [{key: row[key] for key in KEYS if key in row} for row in self._rows]
        self._rows, self._seconds = [], 0.0
        self._count += 1
        return (Part(name, tuple(keys)),)

    def rows(self, part: str) -> list[dict[str, Any]]:
        """All rows of a file of the table."""
        return decoded(self._place.read(part), part)

    def keys(self, part: str) -> list[dict[str, Any]]:
        """The keys of the rows of a file of recordings."""
        return decoded(self._place.read(part), part, list(KEYS))

    def without(self, part: str, paths: set[str]) -> None:
        """Write a file again without the rows of some paths; an empty one is removed.

        Raises:
            HostError: `disk_full`, `host_io`.
        """
        kept = [row for row in self.rows(part) if row["path"] not in paths]
        if kept:
            self._place.write(part, encoded(kept, _COLUMNS[self._table]))
        else:
            self._place.remove(part)


def part_names(place: Place, table: str) -> Iterator[str]:
    """The files of a table, in any order."""
    for entry in place.files(table):
        name = entry.name.rpartition("/")[2]
        if name.startswith("part-") and name.endswith(".parquet"):
            yield entry.name


def generation_of(part: str) -> int:
    """The generation in a file's name; 0 where it has none."""
    digits = part.rpartition("/")[2].split("-")[1]
    return int(digits) if digits.isdecimal() else 0
