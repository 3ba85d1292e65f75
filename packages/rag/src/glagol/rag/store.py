"""The one SQLite file that holds texts, stems and vectors; what is forgotten is overwritten.

A recording is put and forgotten in one transaction. `changes` counts those transactions, so that an
index beside the file can tell whether it has seen them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.jobs.sqlite.connection import Database
from glagol.rag.words import stems

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from glagol.rag.scope import Scope
    from glagol.rag.turns import Recording

__all__ = ["FILE", "Found", "Store"]

FILE: Final = "search.sqlite"
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE recordings (id TEXT PRIMARY KEY, owner TEXT NOT NULL, folder TEXT NOT NULL,
  title TEXT NOT NULL, date TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE turns (id INTEGER PRIMARY KEY AUTOINCREMENT, recording TEXT NOT NULL,
  number INTEGER NOT NULL, start_s REAL NOT NULL, end_s REAL NOT NULL, speaker TEXT NOT NULL,
  channel INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL);
CREATE UNIQUE INDEX turns_of ON turns (recording, number);
CREATE VIRTUAL TABLE stems USING fts5 (words, tokenize = 'unicode61');
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('changes', '0'), ('model', '')
"""
_JOINED: Final = "turns t JOIN recordings r ON r.id = t.recording"
_COLUMNS: Final = "t.id, r.id, r.title, r.date, t.number, t.start_s, t.end_s, t.speaker, t.text"
_TURNS: Final = f"SELECT {_COLUMNS} FROM {_JOINED}"  # noqa: S608
_STEMS: Final = (
    "SELECT t.id FROM stems s JOIN turns t ON t.id = s.rowid"
    " JOIN recordings r ON r.id = t.recording"
)
_FIELDS: Final = "t.id, r.owner, r.folder, r.id, t.speaker, r.date, t.vector"


@dataclass(frozen=True, slots=True)
class Found:
    """A turn as search gives it out."""

    id: int
    recording: str
    title: str
    date: str
    number: int
    start_s: float
    end_s: float
    speaker: str
    text: str


class Store:
    """The file; safe from any thread and process.

    Args:
        folder: Made when it is not there; only its owner may read it.

    Raises:
        HostError: `queue_unreachable`, its schema is newer or it stayed locked; `disk_full`;
            `host_io`. Every method raises the same.
    """

    def __init__(self, folder: Path) -> None:
        self._database = Database(folder / FILE, _SCHEMA, VERSION)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def fact(self, name: str) -> str:
        """`changes` or `model`."""
        with self._database.reading() as db:
            return str(db.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()[0])

    def digest(self, recording: str) -> str | None:
        """The digest under which a recording is in the index."""
        with self._database.reading() as db:
            sql = "SELECT digest FROM recordings WHERE id = ?"
            row = db.execute(sql, [recording]).fetchone()
        return None if row is None else str(row[0])

    def put(self, recording: Recording, vectors: NDArray[np.float32], model: str) -> list[int]:
        """Store a recording in the place of what was there under its id.

        Args:
            recording: With its turns.
            vectors: float32 [turns, D], of the turns.
            model: What made the vectors.

        Returns:
            Ids of its turns.
        """
        with self._database.writing() as db:
            _remove(db, recording.id)
            about = (recording.id, recording.owner, recording.folder, recording.title)
            row = (*about, recording.date, recording.digest)
            db.execute("INSERT INTO recordings VALUES (?, ?, ?, ?, ?, ?)", row)
            ids = []
            for number, (turn, vector) in enumerate(zip(recording.turns, vectors, strict=True)):
                cursor = db.execute(
                    "INSERT INTO turns (recording, number, start_s, end_s, speaker, channel, text,"
                    " vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (recording.id, number, turn.start_s, turn.end_s, turn.speaker, turn.channel,
                     turn.text, vector.astype("<f4").tobytes()),
                )  # fmt: skip
                ids.append(int(cursor.lastrowid or 0))
                words = " ".join(stems(f"{turn.speaker} {turn.text}"))
                db.execute("INSERT INTO stems (rowid, words) VALUES (?, ?)", (ids[-1], words))
            _changed(db)
            db.execute("UPDATE facts SET value = ? WHERE name = 'model'", [model])
        self._database.truncate_log()
        return ids

    def forget(self, recording: str) -> bool:
        """Remove a recording and every trace of its text and vectors; whether it was there."""
        with self._database.writing() as db:
            there = _remove(db, recording)
            if there:
                _changed(db)
                db.execute("INSERT INTO stems (stems) VALUES ('optimize')")
        self._database.truncate_log()
        return there

    def ids(self, scope: Scope) -> NDArray[np.int64]:
        """Ids int64 [N] of the turns inside a scope, ascending."""
        where, values = scope.sql()
        with self._database.reading() as db:
            sql = f"SELECT t.id FROM {_JOINED} WHERE {where} ORDER BY t.id"  # noqa: S608
            return np.array([row[0] for row in db.execute(sql, values)], np.int64)

    def by_words(self, query: str, scope: Scope, limit: int) -> list[int]:
        """Ids of turns that hold words of a query, the best first (BM25 over stems).

        What stands in double quotes must be there word for word, endings aside.
        """
        match = _match(query)
        if not match:
            return []
        where, values = scope.sql()
        sql = f"{_STEMS} WHERE stems MATCH ? AND {where} ORDER BY bm25(stems), t.id LIMIT ?"
        with self._database.reading() as db:
            return [row[0] for row in db.execute(sql, [match, *values, limit])]

    def turns(self, ids: Sequence[int], scope: Scope) -> list[Found]:
        """Turns in the order of their ids, without those that are gone or outside the scope."""
        where, values = scope.sql()
        marks = ", ".join("?" * len(ids))
        sql = f"{_TURNS} WHERE t.id IN ({marks}) AND {where}"
        with self._database.reading() as db:
            found = {row[0]: Found(*row) for row in db.execute(sql, [*ids, *values])}
        return [found[each] for each in ids if each in found]

    def around(self, turn: Found, reach: int) -> list[Found]:
        """A turn with up to `reach` neighbours of its recording on both sides."""
        sql = _TURNS + " WHERE r.id = ? AND t.number BETWEEN ? AND ?"
        span = (turn.recording, turn.number - reach, turn.number + reach)
        with self._database.reading() as db:
            return [Found(*row) for row in db.execute(f"{sql} ORDER BY t.number", span)]

    def vectors(self) -> Iterator[tuple[int, str, str, str, str, str, bytes]]:
        """Id, owner, folder, recording, speaker, date and vector of every turn."""
        sql = f"SELECT {_FIELDS} FROM {_JOINED}"  # noqa: S608
        with self._database.reading() as db:
            yield from db.execute(sql)

    def counts(self, scope: Scope) -> list[tuple[str, str, int, float]]:
        """Recording, title, turns and seconds of speech inside a scope, by title."""
        where, values = scope.sql()
        sql = (
            f"SELECT r.id, r.title, COUNT(*), SUM(t.end_s - t.start_s) FROM {_JOINED}"  # noqa: S608
            f" WHERE {where} GROUP BY r.id ORDER BY r.title, r.id"
        )
        with self._database.reading() as db:
            return [(row[0], row[1], row[2], row[3]) for row in db.execute(sql, values)]


def _remove(db: sqlite3.Connection, recording: str) -> bool:
    of = "SELECT id FROM turns WHERE recording = ?"
    db.execute(f"DELETE FROM stems WHERE rowid IN ({of})", [recording])  # noqa: S608
    db.execute("DELETE FROM turns WHERE recording = ?", [recording])
    return bool(db.execute("DELETE FROM recordings WHERE id = ?", [recording]).rowcount)


def _changed(db: sqlite3.Connection) -> None:
    db.execute("UPDATE facts SET value = CAST(value AS INTEGER) + 1 WHERE name = 'changes'")


def _match(query: str) -> str:
    """A query in FTS5's language: quoted parts as phrases that must be there, else any word."""
    phrases, words = list[str](), list[str]()
    for number, part in enumerate(query.split('"')):
        found = stems(part)
        if number % 2 and found:
            phrases.append('"' + " ".join(found) + '"')
        else:
            words += found
    if phrases:
        return " AND ".join(phrases)
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(words))
