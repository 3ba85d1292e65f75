"""The schema of the job queue in SQLite, and functions that read, add and change rows.

Every function takes a connection; functions that write need it in a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from glagol.jobs import validation
from glagol.jobs.queue import Claim, Job, LeaseLostError, NewJob, Trouble
from glagol.jobs.states import QUEUED, RUNNING, sql

__all__ = [
    "FIELDS",
    "LIVE",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SELECT",
    "delete",
    "get",
    "held",
    "insert",
    "read",
    "update",
]

SCHEMA_VERSION: Final = 1
LIVE: Final = f"state IN ({sql(QUEUED, RUNNING)})"
"""Condition of jobs that may be claimed; queries repeat it, since the index `by_due` needs it."""
# Payloads have their own table: SQLite rewrites whole rows, and a lease is renewed often.
SCHEMA: Final = f"""
CREATE TABLE job (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    owner TEXT NOT NULL, idempotency_key TEXT NOT NULL, request_sha256 TEXT NOT NULL,
    state TEXT NOT NULL, attempt INTEGER NOT NULL, attempts_max INTEGER NOT NULL,
    attempts_first INTEGER NOT NULL, created_s REAL NOT NULL, changed_s REAL NOT NULL,
    due_s REAL NOT NULL, expires_s REAL NOT NULL, ttl_s REAL NOT NULL, done REAL NOT NULL,
    total REAL, cancelling INTEGER NOT NULL, trouble BLOB, version INTEGER NOT NULL,
    worker TEXT NOT NULL, lease_until_s REAL NOT NULL, heir_kind TEXT NOT NULL
) STRICT;
CREATE TABLE payload (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE result (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX by_key ON job (owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX by_due ON job (kind, due_s, seq) WHERE {LIVE};
CREATE INDEX by_state ON job (kind, state, seq);
CREATE INDEX by_owner ON job (kind, owner, seq);
CREATE INDEX by_end ON job (expires_s) WHERE expires_s > 0;
"""
FIELDS: Final = (
    "id, kind, (SELECT bytes FROM payload WHERE payload.seq = job.seq), owner, state, attempt, "
    "attempts_max, created_s, changed_s, due_s, expires_s, done, total, cancelling, trouble, "
    "version"
)
SELECT: Final = f"SELECT {FIELDS} FROM job"  # noqa: S608 - a constant
_INSERT: Final = f"""
    INSERT INTO job (id, kind, owner, idempotency_key, request_sha256, state, attempt, attempts_max,
        attempts_first, created_s, changed_s, due_s, expires_s, ttl_s, done, cancelling, version,
        worker, lease_until_s, heir_kind)
    VALUES (:id, :kind, :owner, :idempotency_key, :request_sha256, {sql(QUEUED)}, 0, :attempts_max,
        :attempts_max, :now, :now, :due_s, 0, :ttl_s, 0, 0, 1, '', 0, :heir_kind)
    ON CONFLICT (id) DO NOTHING RETURNING seq"""  # noqa: S608 - constants


def insert(db: sqlite3.Connection, jobs: Iterable[NewJob], now: float) -> None:
    """Add jobs; one whose id exists is left unchanged."""
    for new in jobs:
        rows = db.execute(
            _INSERT,
            {**msgspec.structs.asdict(new), "now": now, "due_s": now + new.delay_s},
        ).fetchall()
        for row in rows:
            db.execute("INSERT INTO payload VALUES (?, ?)", (row[0], new.payload))


def delete(db: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Remove jobs with their payloads and results."""
    rows = [(seq,) for seq in seqs]
    for table in ("job", "payload", "result"):
        db.executemany(f"DELETE FROM {table} WHERE seq = ?", rows)  # noqa: S608 - constants


def held(db: sqlite3.Connection, claim: Claim) -> Job:
    """The job of a claim, if the claim still holds it.

    Raises:
        LeaseLostError: It does not hold it.
    """
    row = db.execute(f"{SELECT} WHERE id = ?", (claim.job.id,)).fetchone()
    job = None if row is None else read(row)
    if job is None or job.state != RUNNING or job.attempt != claim.job.attempt:
        raise LeaseLostError(claim.job.id)
    return job


def update(db: sqlite3.Connection, sets: str, values: Sequence[Any], now: float, job: Job) -> Job:
    """Change columns of a job, its time of change and its version.

    Args:
        db: In a transaction.
        sets: Assignments such as `column = ?`, separated by commas; constants only.
        values: For its question marks.
        now: Unix seconds.
        job: The job to change.

    Returns:
        The changed job.
    """
    rows = db.execute(
        f"UPDATE job SET {sets}, changed_s = ?, version = version + 1 "  # noqa: S608 - constants
        f"WHERE id = ? RETURNING {FIELDS}",
        (*values, now, job.id),
    ).fetchall()  # all rows, so that the statement ends before the transaction
    return read(rows[0])


def get(db: sqlite3.Connection, job_id: str) -> Job:
    """The job with this id.

    Raises:
        InputError: `job_unknown`.
    """
    row = db.execute(f"{SELECT} WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise validation.unknown(job_id)
    return read(row)


def read(row: Sequence[Any]) -> Job:
    """The job of a row of `FIELDS`."""
    fields = dict(zip(Job.__struct_fields__, row, strict=True))
    why = fields["trouble"]
    fields["trouble"] = None if why is None else msgspec.json.decode(why, type=Trouble)
    fields["cancelling"] = bool(fields["cancelling"])
    # RETURNING gives a number in the type it was bound with, not in its column's type
    return msgspec.convert(fields, Job)
