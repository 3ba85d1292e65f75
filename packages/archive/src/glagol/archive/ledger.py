"""What is done: the keys of all rows of a target, on disk and not in memory."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from glagol.archive.sources import Source

__all__ = ["Done", "Ledger"]

_SCHEMA = """
CREATE TABLE done (path TEXT NOT NULL, part TEXT NOT NULL, size INTEGER NOT NULL,
    version TEXT NOT NULL, sha256 TEXT NOT NULL, decided TEXT NOT NULL, formats TEXT NOT NULL,
    PRIMARY KEY (path, part)) WITHOUT ROWID;
CREATE INDEX by_audio ON done (sha256, decided);
CREATE TABLE seen (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE parts (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A row of a target.

    Attributes:
        part: the file that holds it.
        path: the recording that it was made of.
        formats: names of the files that were written beside it.
    """

    part: str
    path: str
    formats: frozenset[str]


class Ledger:
    """The keys of rows, by part. Names of parts rise with time: the last row of a path counts.

    Args:
        file: where it is kept; a new file.
        decided: digests of what decides a text now; rows with another one are not done.
    """

    def __init__(self, file: Path, decided: Sequence[str]) -> None:
        self._rows = sqlite3.connect(file)
        self._rows.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)
        self._decided = tuple(dict.fromkeys(decided))

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def first(self, path: str) -> bool:
        """Whether a recording is listed for the first time in this run."""
        return self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?)", (path,)).rowcount > 0

    def knows(self, part: str) -> bool:
        """Whether the rows of a part were taken."""
        found = self._rows.execute("SELECT 1 FROM parts WHERE name = ?", (part,))
        return found.fetchone() is not None

    def take(self, part: str, keys: Iterable[Mapping[str, Any]]) -> None:
        """Take the rows of a part, by the columns `glagol.archive.rows.KEYS`."""
        rows = [
            (
                key["path"],
                part,
                key["size_bytes"],
                key["version"],
                key["audio_sha256"],
                key["decided_by"],
                json.dumps(key["formats"]),
            )
            for key in keys
        ]
        with self._rows:
            self._rows.execute("INSERT OR IGNORE INTO parts VALUES (?)", (part,))
            self._rows.executemany("INSERT OR REPLACE INTO done VALUES (?,?,?,?,?,?,?)", rows)

    def unchanged(self, source: Source, formats: frozenset[str]) -> bool:
        """Whether a recording is done and looks as it did then; its bytes are not read."""
        row = self._rows.execute(
            "SELECT size, version, decided, formats FROM done WHERE path = ?"
            " ORDER BY part DESC LIMIT 1",
            (source.name,),
        ).fetchone()
        if row is None or not source.version:
            return False
        size, version, decided, written = row
        looks = (size, version) == (source.size_bytes, source.version)
        return looks and decided in self._decided and formats <= frozenset(json.loads(written))

    def same_audio(self, sha256: str) -> Done | None:
        """A row of a recording with the same bytes, whose text is right now."""
        marks = ",".join("?" * len(self._decided))
        query = "SELECT part, path, formats FROM done WHERE sha256 = ? AND decided IN (%s)"
        query = query % marks + " ORDER BY part DESC LIMIT 1"
        row = self._rows.execute(query, (sha256, *self._decided)).fetchone()
        return None if row is None else Done(row[0], row[1], frozenset(json.loads(row[2])))

    def superseded(self) -> dict[str, set[str]]:
        """Paths that a later part has as well, by the parts that hold the earlier rows."""
        found: dict[str, set[str]] = {}
        rows = self._rows.execute(
            "SELECT a.part, a.path FROM done a WHERE EXISTS"
            " (SELECT 1 FROM done b WHERE b.path = a.path AND b.part > a.part)"
        )
        for part, path in rows:
            found.setdefault(part, set()).add(path)
        return found

    def drop(self, part: str, paths: Iterable[str]) -> None:
        """Forget rows that were removed from a part."""
        with self._rows:
            gone = [(part, path) for path in paths]
            self._rows.executemany("DELETE FROM done WHERE part = ? AND path = ?", gone)

    def has(self, path: str) -> bool:
        """Whether a recording has a row whose text is right now."""
        rows = self._rows.execute("SELECT decided FROM done WHERE path = ?", (path,))
        return any(decided in self._decided for (decided,) in rows)
