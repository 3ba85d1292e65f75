"""The one SQLite file that holds texts, stems and vectors; what is forgotten is overwritten.

A recording is put and forgotten in one transaction. `changes` counts those transactions, so that an
index beside the file can tell whether it has seen them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from glagol.jobs.sqlite.connection import Database
from glagol.rag.words import content, stems

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from glagol.rag.scope import Scope
    from glagol.rag.turns import Recording, Turn

__all__ = ["FILE", "Fields", "Found", "Store", "fields_of"]

FILE: Final = "search.sqlite"
VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE recordings (id TEXT PRIMARY KEY, owner TEXT NOT NULL, folder TEXT NOT NULL,
  title TEXT NOT NULL, date TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE turns (id INTEGER PRIMARY KEY AUTOINCREMENT, recording TEXT NOT NULL,
  number INTEGER NOT NULL, start_s REAL NOT NULL, end_s REAL NOT NULL, speaker TEXT NOT NULL,
  channel INTEGER NOT NULL, text TEXT NOT NULL, confidence REAL, vector BLOB NOT NULL);
CREATE UNIQUE INDEX turns_of ON turns (recording, number);
CREATE TABLE tags (recording TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (recording, tag))
  WITHOUT ROWID;
CREATE VIRTUAL TABLE stems USING fts5 (words, tokenize = 'unicode61');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (stems, row);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('changes', '0'), ('model', '')
"""
_JOINED: Final = "turns t JOIN recordings r ON r.id = t.recording"
_COLUMNS: Final = (
    "t.id, r.id, r.title, r.date, t.number, t.start_s, t.end_s, t.speaker, t.channel, t.text,"
    " t.confidence"
)
_TURNS: Final = f"SELECT {_COLUMNS} FROM {_JOINED}"  # noqa: S608
_MATCHED: Final = "stems s JOIN turns t ON t.id = s.rowid JOIN recordings r ON r.id = t.recording"
_TAGS: Final = "(SELECT group_concat(tag, char(31)) FROM tags g WHERE g.recording = r.id)"
_NARROWED_MAX: Final = 32
"""Words of a query that is narrowed; a longer one is rare, and FTS5 takes each word twice."""

_MAPPED_BYTES: Final = 256 << 20
"""Of the file that is read where the system keeps it, without a copy."""

SHARE: Final = 0.34
"""How much of what a query is about a turn must hold, by weight of its words, to be found by it."""


class Fields(NamedTuple):
    """What a scope filters turns by."""

    owner: str
    folder: str
    recording: str
    speaker: str
    channel: int
    date: str
    confidence: float | None
    tags: tuple[str, ...]


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
    channel: int
    text: str
    confidence: float | None


class Store:
    """The file; safe from any thread and process.

    Args:
        folder: Made when it is not there; only its owner may read it.

    Raises:
        HostError: `queue_unreachable`, its schema is newer or it stayed locked; `disk_full`;
            `host_io`. Every method raises the same.
    """

    def __init__(self, folder: Path) -> None:
        self._database = Database(folder / FILE, _SCHEMA, VERSION, mapped_bytes=_MAPPED_BYTES)

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
            tags = [(recording.id, tag) for tag in recording.tags]
            db.executemany("INSERT INTO tags VALUES (?, ?)", tags)
            ids = []
            for number, (turn, vector) in enumerate(zip(recording.turns, vectors, strict=True)):
                cursor = db.execute(
                    "INSERT INTO turns (recording, number, start_s, end_s, speaker, channel, text,"
                    " confidence, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (recording.id, number, turn.start_s, turn.end_s, turn.speaker, turn.channel,
                     turn.text, turn.confidence, vector.astype("<f4").tobytes()),
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
        """Ids of turns that hold what a query is about, the best first (BM25 over stems).

        A turn must hold `SHARE` of the query's words by their weight (how rare they are), so that
        one frequent word is no hit. What stands in double quotes must be there word for word,
        endings aside, and is enough.
        """
        match, words = _match(query)
        where, values = scope.sql()
        sql = (
            f"SELECT t.id, s.words FROM {_MATCHED} WHERE stems MATCH ? AND {where}"  # noqa: S608
            " ORDER BY bm25(stems), t.id LIMIT ?"
        )
        with self._database.reading() as db:
            weights = {word: _weight(db, word) for word in words}
            least = SHARE * sum(weights.values())
            match = _narrowed(match, weights, least)
            rows = db.execute(sql, [match, *values, limit]).fetchall() if match else []
        if not words:
            return [row[0] for row in rows]
        return [
            number
            for number, held in rows
            if sum(weights[word] for word in weights.keys() & set(held.split())) >= least
        ]

    def matched(self, query: str, scope: Scope) -> tuple[str, str, list[str]]:
        """FROM, WHERE and values that give the turns inside a scope which hold all of a query.

        The tables are recordings `r` and turns `t`; an empty query takes every turn.
        """
        match = _match_all(query)
        where, values = scope.sql()
        if match:
            return _MATCHED, f"stems MATCH ? AND {where}", [match, *values]
        return _JOINED, where, values

    def rows(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._database.reading() as db:
            return db.execute(sql, values).fetchall()

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

    def vectors(self) -> Iterator[tuple[int, Fields, bytes]]:
        """Id, fields that a scope filters by, and vector of every turn."""
        about = "r.owner, r.folder, r.id, t.speaker, t.channel, r.date, t.confidence"
        sql = f"SELECT t.id, {about}, {_TAGS}, t.vector FROM {_JOINED}"  # noqa: S608
        with self._database.reading() as db:
            for number, *fields, tags, vector in db.execute(sql):
                named = tuple(tags.split(chr(31))) if tags else ()
                yield number, Fields._make([*fields, named]), vector

    def counts(self, scope: Scope) -> list[tuple[str, str, int, float]]:
        """Recording, title, turns and seconds of speech inside a scope, by title."""
        where, values = scope.sql()
        sql = (
            f"SELECT r.id, r.title, COUNT(*), SUM(t.end_s - t.start_s) FROM {_JOINED}"  # noqa: S608
            f" WHERE {where} GROUP BY r.id ORDER BY r.title, r.id"
        )
        with self._database.reading() as db:
            return [(row[0], row[1], row[2], row[3]) for row in db.execute(sql, values)]


def fields_of(recording: Recording, turn: Turn) -> Fields:
    """What a scope filters a turn of a recording by."""
    return Fields(
        recording.owner,
        recording.folder,
        recording.id,
        turn.speaker,
        turn.channel,
        recording.date,
        turn.confidence,
        recording.tags,
    )


def _remove(db: sqlite3.Connection, recording: str) -> bool:
    of = "SELECT id FROM turns WHERE recording = ?"
    db.execute(f"DELETE FROM stems WHERE rowid IN ({of})", [recording])  # noqa: S608
    db.execute("DELETE FROM turns WHERE recording = ?", [recording])
    db.execute("DELETE FROM tags WHERE recording = ?", [recording])
    return bool(db.execute("DELETE FROM recordings WHERE id = ?", [recording]).rowcount)


def _changed(db: sqlite3.Connection) -> None:
    db.execute("UPDATE facts SET value = CAST(value AS INTEGER) + 1 WHERE name = 'changes'")


def _weight(db: sqlite3.Connection, word: str) -> float:
    """How much a word says: the logarithm of how rare it is."""
    turns = int(db.execute("SELECT MAX(id) FROM turns").fetchone()[0] or 0)
    row = db.execute("SELECT doc FROM vocabulary WHERE term = ?", [word]).fetchone()
    holding = int(row[0]) if row else 0
    return math.log1p(turns / (1 + holding))


def _parts(query: str) -> tuple[list[str], list[str]]:
    """What a query has in double quotes, as phrases of FTS5's language, and its other words."""
    parts = query.split('"')
    quoted = parts[1::2] if len(parts) % 2 else parts[1:-1:2]
    phrases = ['"' + " ".join(found) + '"' for part in quoted if (found := stems(part))]
    rest = [part for part in parts if part not in quoted]
    return phrases, content(" ".join(rest))


def _match(query: str) -> tuple[str, list[str]]:
    """A query in FTS5's language, and the words of which a turn must hold a share.

    Phrases must be there, and other words then only change the order.
    """
    phrases, words = _parts(query)
    any_of = " OR ".join(f'"{word}"' for word in words)
    if phrases:
        order = f" AND ({phrases[0]} OR {any_of})" if words else ""
        return " AND ".join(phrases) + order, []
    return any_of, words


def _narrowed(match: str, weights: Mapping[str, float], least: float) -> str:
    """The same query without turns that hold too little: they need not be ranked at all.

    The most frequent words, as long as all of them together weigh less than `least`, are not
    enough; so a turn must hold another one. Each word stands in the query twice, in whichever part,
    so that BM25 gives the same order.
    """
    weak, held = list[str](), 0.0
    for word in sorted(weights, key=lambda each: (weights[each], each)):
        held += weights[word]
        if held >= least:
            break
        weak.append(word)
    if not weak or len(weights) > _NARROWED_MAX:
        return match
    strong = " OR ".join(f'"{word}"' for word in weights if word not in weak)
    frequent = " OR ".join(f'"{word}"' for word in weak)
    return f"({strong}) AND ({strong} OR {frequent} OR {frequent})"


def _match_all(query: str) -> str:
    phrases, words = _parts(query)
    return " AND ".join([*phrases, *(f'"{word}"' for word in words)])
