"""Clock of a queue file that tolerates a system clock set back.

Times in the file are Unix seconds by the system's clock. When the clock is set back, due times,
leases and expiries would be late by the size of the step. So the file keeps the time of its last
write; when the clock is behind that, all times in the file move back by the difference. Ages,
delays and leases keep their length.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from glagol.core import journal

__all__ = ["ADDED", "STEP_S", "now", "stepped_back"]

STEP_S: Final = 1.0
"""A smaller step back is not noticed, and the newest time is noted no more often than this."""

ADDED: Final = """
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), newest_s REAL NOT NULL)
    STRICT;
INSERT OR IGNORE INTO clock SELECT 1, coalesce(max(changed_s), 0) FROM job
"""
"""Statements that give a file of any age its clock; programs that do not know it work beside it."""


def stepped_back(db: sqlite3.Connection, clock_s: float) -> bool:
    """Whether `clock_s` is so far behind the file that `now` would move its times."""
    return clock_s < _newest_s(db) - STEP_S


def now(db: sqlite3.Connection, clock_s: float) -> float:
    """The time by which a transaction works: `clock_s`, once the file's times fit it.

    Args:
        db: In a transaction that writes.
        clock_s: Unix seconds by the system's clock.
    """
    newest_s = _newest_s(db)
    if newest_s - STEP_S <= clock_s <= newest_s + STEP_S:
        return clock_s
    if clock_s < newest_s:
        _move_back(db, newest_s - clock_s)
    db.execute("UPDATE clock SET newest_s = ?", (clock_s,))
    return clock_s


def _newest_s(db: sqlite3.Connection) -> float:
    return float(db.execute("SELECT newest_s FROM clock").fetchone()[0])


def _move_back(db: sqlite3.Connection, step_s: float) -> None:
    db.execute(
        "UPDATE job SET created_s = created_s - :step_s, changed_s = changed_s - :step_s,"
        " due_s = due_s - :step_s, lease_until_s = lease_until_s - :step_s,"
        " expires_s = CASE WHEN expires_s > 0 THEN max(expires_s - :step_s, 1e-6) ELSE 0 END",
        {"step_s": step_s},
    )
    journal.write(
        "the clock was set back, and the times of jobs with it",
        level=logging.WARNING,
        step_s=round(step_s, 3),
    )
