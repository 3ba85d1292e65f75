"""What search has not received yet: one row for each recording that changed.

Triggers of SQLite write the rows, in the transaction of the change: text, names of speakers, title,
folder and deletion alike. A row goes when search has taken the recording as it
was then; a change that came meanwhile has raised the row's number, and the row stays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.gateway.library import texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.gateway.library.document import Segment
    from glagol.jobs.sqlite.connection import Database

__all__ = ["Change", "changes", "count", "differences", "mark", "prepare", "put_of", "taken"]

_NOTE: Final = (
    "INSERT INTO outbox (recording, change) {rows} "
    "ON CONFLICT (recording) DO UPDATE SET change = change + 1;"
)
_BY_NUMBER: Final = "SELECT id, 1 FROM recording WHERE number = {row}.recording"
_WITH_TEXT: Final = (
    "SELECT id FROM recording r WHERE EXISTS (SELECT 1 FROM segment s WHERE s.recording = r.number)"
)
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS outbox (recording TEXT PRIMARY KEY, change INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID"
)


class Change(msgspec.Struct, frozen=True):
    """A recording that search has to receive.

    Attributes:
        recording: Its id.
        number: Of changes since search received it.
    """

    recording: str
    number: int


def prepare(database: Database) -> None:
    """Make table and triggers where they are not there; also in libraries of older releases."""
    with database.writing() as db:
        db.execute(_TABLE)
        for name, event, rows in _triggers():
            note = _NOTE.format(rows=rows)
            db.execute(f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} BEGIN {note} END")


def _triggers() -> Iterable[tuple[str, str, str]]:
    for table in ("segment", "speaker"):
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            name = f"outbox_{table}_{event.lower()}"
            yield name, f"{event} ON {table}", _BY_NUMBER.format(row=row)
    yield (
        "outbox_recording_update",
        "UPDATE OF title, folder ON recording",
        "VALUES (NEW.id, 1)",
    )
    yield "outbox_recording_delete", "DELETE ON recording", "VALUES (OLD.id, 1)"


def changes(database: Database, limit: int = 100) -> list[Change]:
    """Some of the recordings that search has to receive."""
    with database.reading() as db:
        rows = db.execute(
            "SELECT recording, change FROM outbox ORDER BY recording LIMIT ?", (limit,)
        )
        return [Change(*row) for row in rows]


def count(database: Database) -> int:
    """How many recordings search has to receive."""
    with database.reading() as db:
        return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])


def taken(database: Database, change: Change) -> None:
    """Search has received a change."""
    with database.writing() as db:
        row = (change.recording, change.number)
        db.execute("DELETE FROM outbox WHERE recording = ? AND change = ?", row)


def mark(database: Database, recordings: Iterable[str]) -> None:
    """Give recordings to search again."""
    statement = _NOTE.format(rows="VALUES (?, 1)").rstrip(";")
    with database.writing() as db:
        db.executemany(statement, [(each,) for each in recordings])


def differences(database: Database, known: set[str]) -> set[str]:
    """Ids of recordings with a text that search does not know, and of those it should not know.

    Args:
        database: The library's.
        known: What search knows.
    """
    with database.reading() as db:
        rows = db.execute(_WITH_TEXT)
        return known ^ {identity for (identity,) in rows}


def put_of(database: Database, identity: str) -> bytes | None:
    """What search is given of a recording, as JSON; None where there is no text, or no recording.

    Folder is its id, as text; date is the day on which it came.
    """
    with database.reading() as db:
        db.execute("BEGIN")  # all of one moment
        try:
            row = db.execute(
                "SELECT number, folder, title, created_s FROM recording WHERE id = ?", (identity,)
            ).fetchone()
            document = texts.document(db, row[0]) if row is not None else None
        finally:
            db.execute("COMMIT")
    if row is None or document is None or not any(each.words for each in document.segments):
        return None
    _, folder, title, created_s = row
    said = [_segment(each, document.names) for each in document.segments if each.words]
    date = datetime.fromtimestamp(created_s, UTC).date().isoformat()
    value = {"title": title[:256], "folder": str(folder), "date": date}
    return msgspec.json.encode({**value, "transcript": {"segments": said}})


def _segment(segment: Segment, names: dict[str, str]) -> dict[str, object]:
    return {
        "text": segment.text,
        "start": segment.start_ms / 1000,
        "end": segment.end_ms / 1000,
        "speaker": names.get(segment.speaker, segment.speaker),
    }
