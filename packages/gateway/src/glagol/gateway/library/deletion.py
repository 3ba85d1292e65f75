"""Deletion that leaves nothing: rows, index, file of the database and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from glagol.gateway.library import texts

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Receipt", "abandoned", "delete", "due", "scrub"]


class Receipt(msgspec.Struct, frozen=True):
    """What was deleted, without a word of it.

    Attributes:
        number: Of the receipt.
        at_s: When, Unix seconds.
        who: The person that deleted it; `retention` for the rule of its folder.
        recording: Id.
        audio_sha256: Digest of its original.
        text_sha256: Digest of its last text.
        why: The reason that was given.
    """

    number: int
    at_s: float
    who: str
    recording: str
    audio_sha256: str
    text_sha256: str
    why: str


def delete(
    db: sqlite3.Connection, recording: tuple[int, str], *, who: str, why: str, at_s: float
) -> Receipt:
    """Remove every row of a recording, and write a receipt.

    Args:
        db: In a transaction.
        recording: Number and id.
        who: The person that deletes it.
        why: For the receipt.
        at_s: When, Unix seconds.
    """
    number, identity = recording
    audio_sha256, text_sha256 = db.execute(
        "SELECT audio_sha256, text_sha256 FROM recording WHERE number = ?", (number,)
    ).fetchone()
    texts.clear(db, number)
    for table in ("machine", "edit"):
        db.execute(f"DELETE FROM {table} WHERE recording = ?", (number,))  # noqa: S608 - constants
    db.execute("DELETE FROM recording WHERE number = ?", (number,))
    cursor = db.execute(
        "INSERT INTO receipt (at_s, who, recording, audio_sha256, text_sha256, why) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (at_s, who, identity, audio_sha256, text_sha256, why),
    )
    return Receipt(cursor.lastrowid or 0, at_s, who, identity, audio_sha256, text_sha256, why)


def due(db: sqlite3.Connection, now_s: float) -> tuple[list[str], list[str]]:
    """What the rules of the folders say must go.

    Returns:
        Ids of recordings to delete whole, and of those to delete the sound of. What is held stays.
    """
    rule = (
        "SELECT r.id FROM recording r JOIN folder f ON f.id = r.folder WHERE r.held = 0 "
        "AND r.state <> 'uploading' AND r.created_s + 86400.0 * f."
    )
    whole = db.execute(f"{rule}text_days <= ? ORDER BY r.number", (now_s,)).fetchall()
    sound = db.execute(
        f"{rule}audio_days <= ? AND r.sound <> 'none' ORDER BY r.number", (now_s,)
    ).fetchall()
    gone = {identity for (identity,) in whole}
    return [each for (each,) in whole], [each for (each,) in sound if each not in gone]


def abandoned(db: sqlite3.Connection, before_s: float) -> list[str]:
    """Ids of recordings that began to arrive before a time, and have not arrived."""
    rows = db.execute(
        "SELECT id FROM recording WHERE state = 'uploading' AND created_s < ?", (before_s,)
    )
    return [identity for (identity,) in rows]


def scrub(db: sqlite3.Connection) -> None:
    """Overwrite what deleted rows have left behind.

    FTS5 only marks an entry as deleted; `optimize` writes the index anew without it, and
    `secure_delete` overwrites the pages that this frees. The write-ahead log still holds older
    pages until it is cut to nothing.
    """
    db.execute("INSERT INTO word_fts (word_fts) VALUES ('optimize')")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
