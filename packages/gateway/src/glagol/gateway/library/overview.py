"""Additional columns of lists: a line of the text, its author, its end."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from glagol.gateway.library.document import Segment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from glagol.gateway.library.library import Recording
    from glagol.jobs.sqlite.connection import Database

__all__ = ["About", "Lack", "Made", "about", "in_work", "languages", "made", "shown"]

_SNIPPET = 160
_SEGMENT = msgspec.json.Decoder(Segment)


class Lack(msgspec.Struct, frozen=True):
    """What a recording lacks, by the recogniser's notice."""

    code: str
    message: str = ""
    at_s: float | None = None
    missing_s: float | None = None


class About(msgspec.Struct, frozen=True):
    """What a list shows of a recording beside its row.

    Attributes:
        made_by: Model of its first text; empty while there is none.
        warnings: Codes of what the recording lacks.
        edits: Number of the last edit; 0 for none.
        snippet: The beginning of its text.
        expires_s: When retention deletes it, Unix seconds; None for never.
        texts: How many texts machines made of it.
        latest: Model of the newest of them.
        shown: Number of the one that its edits stand on.
    """

    made_by: str = ""
    warnings: tuple[str, ...] = ()
    edits: int = 0
    snippet: str = ""
    expires_s: float | None = None
    texts: int = 0
    latest: str = ""
    shown: int = 1


class Made(msgspec.Struct, frozen=True):
    """One text that a machine made of a recording.

    Attributes:
        number: 1 for the one that the edits stand on.
        made_s: When, Unix seconds.
        job: Id of the job; empty for an import.
        model: Of its provenance.
        result_sha256: Digest of its JSON.
        provenance: As the recogniser wrote it.
        coverage: As the recogniser wrote it.
        warnings: What the recording lacks.
        language: Of the text.
    """

    number: int
    made_s: float
    job: str
    model: str
    result_sha256: str
    provenance: dict[str, Any] = {}
    coverage: dict[str, Any] = {}
    warnings: tuple[Lack, ...] = ()
    language: str = ""


class _Rest(msgspec.Struct, frozen=True):
    provenance: dict[str, Any] = {}
    coverage: dict[str, Any] = {}
    warnings: tuple[Lack, ...] = ()
    language: str = ""


def about(database: Database, recordings: Sequence[Recording]) -> list[About]:
    """What a list shows of each recording; in their order."""
    with database.reading() as db:
        days: dict[int, int | None] = dict(
            db.execute("SELECT id, text_days FROM folder").fetchall()
        )
        return [_about(db, each, days.get(each.folder)) for each in recordings]


def in_work(database: Database, folders: Sequence[int]) -> int:
    """How many recordings of some folders are arriving, wait or are being transcribed."""
    places = ", ".join("?" * len(folders))
    with database.reading() as db:
        row = db.execute(
            "SELECT count(*) FROM recording WHERE "  # noqa: S608 - question marks
            f"state IN ('uploading', 'queued', 'running') AND folder IN ({places})",
            tuple(folders),
        ).fetchone()
    return int(row[0])


def languages(database: Database, recording: Recording) -> dict[int, str]:
    """The language of each text that machines made, by its number."""
    with database.reading() as db:
        rows = db.execute(
            "SELECT number, language FROM machine WHERE recording = ?", (recording.number,)
        )
        return dict(rows.fetchall())


def made(database: Database, recording: Recording) -> list[Made]:
    """Every text that machines made of a recording, the first one first."""
    with database.reading() as db:
        rows = db.execute(
            "SELECT number, made_s, job, model, result_sha256, result FROM machine "
            "WHERE recording = ? ORDER BY number",
            (recording.number,),
        ).fetchall()
    found = []
    for number, made_s, job, model, sha256, result in rows:
        rest = msgspec.json.decode(zlib.decompress(result), type=_Rest)
        found.append(
            Made(
                number,
                made_s,
                job,
                model,
                sha256,
                rest.provenance,
                rest.coverage,
                rest.warnings,
                rest.language,
            )
        )
    return found


def _about(db: sqlite3.Connection, recording: Recording, days: int | None) -> About:
    number = recording.number
    first = db.execute(
        "SELECT model, warnings FROM machine WHERE recording = ? ORDER BY number LIMIT 1",
        (number,),
    ).fetchone() or ("", "")
    edits = db.execute(
        "SELECT coalesce(max(number), 0) FROM edit WHERE recording = ?", (number,)
    ).fetchone()[0]
    expires_s = None
    if days is not None and not recording.held:
        expires_s = recording.created_s + 86_400 * days
    warnings = tuple(code for code in first[1].split(",") if code)
    return About(first[0], warnings, edits, _snippet(db, number), expires_s, *_newest(db, number))


def _newest(db: sqlite3.Connection, recording: int) -> tuple[int, str, int]:
    """Number and model of the newest text, and the number of the one that is shown."""
    number, model = db.execute(
        "SELECT number, model FROM machine WHERE recording = ? ORDER BY number DESC LIMIT 1",
        (recording,),
    ).fetchone() or (0, "")
    return number, model, shown(db, recording) if number > 1 else 1


def shown(db: sqlite3.Connection, recording: int) -> int:
    """Number of the machine's text that people have taken last, and not taken back; 1 at first."""
    row = db.execute(
        "SELECT json_extract(operation, '$.machine') FROM edit e "
        "WHERE recording = ? AND json_extract(operation, '$.op') = 'adopt' AND EXISTS "
        "(SELECT 1 FROM segment s WHERE s.recording = e.recording AND s.id BETWEEN "
        "json_extract(operation, '$.segments[0][0]') AND json_extract(operation, '$.last')) "
        "ORDER BY number DESC LIMIT 1",
        (recording,),
    ).fetchone()
    return int(row[0]) if row else 1


def _snippet(db: sqlite3.Connection, recording: int) -> str:
    text = ""
    rows = db.execute(
        "SELECT data FROM segment WHERE recording = ? ORDER BY start_ms, id LIMIT 8", (recording,)
    )
    for (data,) in rows:
        text = f"{text} {_SEGMENT.decode(data).text}".strip()
        if len(text) >= _SNIPPET:
            break
    return text[:_SNIPPET]
