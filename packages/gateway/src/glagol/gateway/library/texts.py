"""The current text of recordings: segments, names, and the index of their stems.

Every function wants a connection; those that write want it in a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from glagol.gateway.library.document import Document, Segment, digest, segment_digest
from glagol.gateway.library.stems import stems

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from glagol.gateway.library.operations import Change

__all__ = ["between", "change", "clear", "document", "names", "some", "text_digest"]

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Segment)


def document(db: sqlite3.Connection, recording: int) -> Document:
    """The whole text of a recording."""
    rows = db.execute(
        "SELECT data FROM segment WHERE recording = ? ORDER BY start_ms, id", (recording,)
    )
    return Document(tuple(_DECODER.decode(data) for (data,) in rows), names(db, recording))


def between(db: sqlite3.Connection, recording: int, start_ms: int, end_ms: int) -> list[Segment]:
    """The segments that begin at `start_ms` or later, and before `end_ms`."""
    rows = db.execute(
        "SELECT data FROM segment WHERE recording = ? AND start_ms >= ? AND start_ms < ? "
        "ORDER BY start_ms, id",
        (recording, start_ms, end_ms),
    )
    return [_DECODER.decode(data) for (data,) in rows]


def names(db: sqlite3.Connection, recording: int) -> dict[str, str]:
    """What the speakers of a recording are called, by key."""
    return dict(db.execute("SELECT key, name FROM speaker WHERE recording = ?", (recording,)))


def some(db: sqlite3.Connection, recording: int, ids: Iterable[int]) -> dict[int, Segment]:
    """Those of the segments that are there, by id."""
    found = {}
    for number in ids:
        row = db.execute(
            "SELECT data FROM segment WHERE recording = ? AND id = ?", (recording, number)
        ).fetchone()
        if row is not None:
            found[number] = _DECODER.decode(row[0])
    return found


def text_digest(db: sqlite3.Connection, recording: int) -> str:
    """SHA-256 of the current text; see `glagol.gateway.library.document.digest`."""
    rows = db.execute("SELECT id, sha256 FROM segment WHERE recording = ?", (recording,))
    return digest(rows.fetchall(), names(db, recording))


def change(db: sqlite3.Connection, recording: int, what: Change, edit: int) -> None:
    """Store a change of edit number `edit`; 0 for what a machine made."""
    for number in (*what.removed, *(segment.id for segment in what.put)):
        _forget(db, recording, number)
    for segment in what.put:
        cursor = db.execute(
            "INSERT INTO segment (recording, id, start_ms, speaker, edited, sha256, data) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                recording,
                segment.id,
                segment.start_ms,
                segment.speaker,
                edit,
                segment_digest(segment),
                _ENCODER.encode(segment),
            ),
        )
        index = (cursor.lastrowid, stems(segment.text))
        db.execute("INSERT INTO word_fts (rowid, stems) VALUES (?, ?)", index)
    for key, name in what.names.items():
        db.execute("DELETE FROM speaker WHERE recording = ? AND key = ?", (recording, key))
        if name:
            db.execute("INSERT INTO speaker VALUES (?, ?, ?)", (recording, key, name))


def clear(db: sqlite3.Connection, recording: int) -> None:
    """Remove the text of a recording, its names and its entries of the index."""
    for row, data in db.execute(
        "SELECT row, data FROM segment WHERE recording = ?", (recording,)
    ).fetchall():
        _unindex(db, row, data)
    db.execute("DELETE FROM segment WHERE recording = ?", (recording,))
    db.execute("DELETE FROM speaker WHERE recording = ?", (recording,))


def _forget(db: sqlite3.Connection, recording: int, number: int) -> None:
    row = db.execute(
        "SELECT row, data FROM segment WHERE recording = ? AND id = ?", (recording, number)
    ).fetchone()
    if row is not None:
        _unindex(db, *row)
        db.execute("DELETE FROM segment WHERE row = ?", row[:1])


def _unindex(db: sqlite3.Connection, row: int, data: Any) -> None:
    """Remove a segment from the index, which needs the words that it was given."""
    text = _DECODER.decode(data).text
    db.execute(
        "INSERT INTO word_fts (word_fts, rowid, stems) VALUES ('delete', ?, ?)", (row, stems(text))
    )
