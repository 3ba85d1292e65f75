"""Folders of recordings: access rights, and how long their recordings are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from glagol.jobs.sqlite.connection import Database

__all__ = [
    "COMMON",
    "Entry",
    "Folder",
    "May",
    "add",
    "change",
    "every",
    "find",
    "folders_of",
    "grant",
    "granted",
    "remove",
    "some",
]

COMMON: Final = 1
"""Id of the common folder, which every person may use."""

NAME_MAX: Final = 200
DAYS_MAX: Final = 36_500
May = Literal["read", "edit"]


class Folder(msgspec.Struct, frozen=True):
    """A folder.

    Attributes:
        id: In addresses.
        name: Empty for the common folder.
        audio_days: Days after which sound is deleted; None for never.
        text_days: Days after which a recording is deleted whole; None for never.
        recordings: How many it holds.
    """

    id: int
    name: str
    audio_days: int | None
    text_days: int | None
    recordings: int


class Entry(msgspec.Struct, frozen=True):
    """What one person may do with a folder."""

    who: str
    may: May


def every(database: Database) -> list[int]:
    """Ids of all folders."""
    with database.reading() as db:
        return [number for (number,) in db.execute("SELECT id FROM folder ORDER BY id")]


def folders_of(database: Database, who: str, *, edit: bool = False) -> list[int]:
    """Ids of the folders that a person may read, or edit; all may use the common one."""
    wanted = ("edit",) if edit else ("read", "edit")
    places = ", ".join("?" * len(wanted))
    with database.reading() as db:
        rows = db.execute(
            f"SELECT folder FROM access WHERE who = ? AND may IN ({places})",  # noqa: S608
            (who, *wanted),
        )
        return sorted({COMMON, *(number for (number,) in rows)})


def some(database: Database, ids: Sequence[int]) -> list[Folder]:
    """Those folders, by name."""
    places = ", ".join("?" * len(ids))
    with database.reading() as db:
        rows = db.execute(
            "SELECT f.id, f.name, f.audio_days, f.text_days, "  # noqa: S608 - question marks
            "(SELECT count(*) FROM recording r WHERE r.folder = f.id) "
            f"FROM folder f WHERE f.id IN ({places}) ORDER BY f.name",
            tuple(ids),
        )
        return [Folder(*row) for row in rows]


def find(db: sqlite3.Connection, number: int) -> None:
    """Check that a folder is there.

    Raises:
        InputError: `folder_unknown`.
    """
    if db.execute("SELECT 1 FROM folder WHERE id = ?", (number,)).fetchone() is None:
        raise InputError("folder_unknown", "there is no such folder", "choose one of the list")


def add(database: Database, name: str) -> int:
    """Make a folder; its id.

    Raises:
        InputError: `option_invalid`, the name is empty, too long or taken.
    """
    with database.writing() as db:
        _free(db, name, 0)
        return int(db.execute("INSERT INTO folder (name) VALUES (?)", (name,)).lastrowid or 0)


def change(
    database: Database, number: int, *, name: str, audio_days: int | None, text_days: int | None
) -> None:
    """Give a folder its name and its days.

    Raises:
        InputError: `folder_unknown`, `option_invalid`.
    """
    for days in (audio_days, text_days):
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise InputError(
                "option_invalid", f"{days} days are not 1..{DAYS_MAX}", "leave it out for ever"
            )
    with database.writing() as db:
        find(db, number)
        if number != COMMON:
            _free(db, name, number)
            db.execute("UPDATE folder SET name = ? WHERE id = ?", (name, number))
        db.execute(
            "UPDATE folder SET audio_days = ?, text_days = ? WHERE id = ?",
            (audio_days, text_days, number),
        )


def remove(database: Database, number: int) -> None:
    """Remove an empty folder.

    Raises:
        InputError: `folder_unknown`; `option_invalid`, it holds recordings or is the common one.
    """
    with database.writing() as db:
        find(db, number)
        held = db.execute("SELECT 1 FROM recording WHERE folder = ?", (number,)).fetchone()
        if held is not None or number == COMMON:
            raise InputError(
                "option_invalid",
                "this folder holds recordings, or is the common one",
                "move or delete its recordings first",
            )
        db.execute("DELETE FROM access WHERE folder = ?", (number,))
        db.execute("DELETE FROM folder WHERE id = ?", (number,))


def grant(database: Database, number: int, who: str, may: May | None) -> None:
    """Let a person read or edit a folder, or no longer.

    Raises:
        InputError: `folder_unknown`.
    """
    with database.writing() as db:
        find(db, number)
        db.execute("DELETE FROM access WHERE folder = ? AND who = ?", (number, who))
        if may is not None:
            db.execute("INSERT INTO access VALUES (?, ?, ?)", (number, who, may))


def granted(database: Database, number: int) -> list[Entry]:
    """The access rights of a folder."""
    with database.reading() as db:
        rows = db.execute("SELECT who, may FROM access WHERE folder = ? ORDER BY who", (number,))
        return [Entry(*row) for row in rows]


def _free(db: sqlite3.Connection, name: str, number: int) -> None:
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise InputError(
            "option_invalid",
            f"this is no name for a folder; 1..{NAME_MAX} characters are",
            "choose another name",
        )
    taken = db.execute("SELECT 1 FROM folder WHERE name = ? AND id <> ?", (name, number))
    if taken.fetchone() is not None:
        raise InputError("option_invalid", "there is a folder of this name", "choose another name")
