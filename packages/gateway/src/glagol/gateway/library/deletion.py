"""Deletion that leaves nothing: rows, index, file of the database and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from glagol.gateway.library import texts

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Receipt", "delete", "scrub"]


class Receipt(msgspec.Struct, frozen=True):
    """What was deleted, without a word of it.

    Attributes:
        number: Of the receipt.
        at_s: When, Unix seconds.
        who: Who deleted it; `retention` for the rule of its folder.
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
        who: Who deletes it.
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


def scrub(db: sqlite3.Connection) -> None:
    """Overwrite what deleted rows have left behind.

    FTS5 only marks an entry as deleted; `optimize` writes the index anew without it, and
    `secure_delete` overwrites the pages that this frees. The write-ahead log still holds older
    pages until it is cut to nothing.
    """
    db.execute("INSERT INTO word_fts (word_fts) VALUES ('optimize')")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
