"""The queue on SQLite: one file, any number of threads and processes of one machine.

Acknowledged changes are on the disk. The file must be on a local disk, and a queue that was opened
before a fork must not be used after it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from glagol.jobs import validation
from glagol.jobs.queue import Claim, Job, NewJob, State, Trouble
from glagol.jobs.sqlite import clock as file_clock
from glagol.jobs.sqlite.connection import Database
from glagol.jobs.sqlite.schema import (
    FIELDS,
    LIVE,
    SCHEMA,
    SCHEMA_VERSION,
    SELECT,
    delete,
    get,
    held,
    insert,
    read,
    update,
)
from glagol.jobs.states import (
    CANCELLED,
    COUNTED,
    DONE,
    FAILED,
    QUEUED,
    REPLAYABLE,
    RUNNING,
    Depth,
    sql,
)

__all__ = ["SqliteQueue"]

_POLL_S: Final = 0.25  # the longest delay until a put of another process is noticed
_SWEEP_MAX: Final = 1000

_READY: Final = f"""
    SELECT due_s, seq FROM job
    WHERE kind = ? AND {LIVE} AND due_s <= ?
        AND (state = {sql(QUEUED)} OR lease_until_s <= ?)
    ORDER BY due_s, seq LIMIT 1"""  # noqa: S608 - constants
_SOONEST: Final = f"""
    SELECT min(at_s) FROM (
        SELECT * FROM (
            SELECT due_s AS at_s FROM job
            WHERE kind = :kind AND {LIVE} AND state = {sql(QUEUED)}
            ORDER BY due_s LIMIT 1)
        UNION ALL
        SELECT min(lease_until_s) FROM job
        WHERE kind = :kind AND state = {sql(RUNNING)})"""  # noqa: S608 - constants
_CLAIM: Final = (
    f"state = {sql(RUNNING)}, attempt = attempt + 1, cancelling = 0, done = 0, total = NULL, "
    "worker = ?, lease_until_s = ?, changed_s = ?, version = version + 1"
)
_OVER: Final = (
    f"SELECT {FIELDS}, seq FROM job WHERE expires_s > 0 AND expires_s <= ? "  # noqa: S608
    "ORDER BY expires_s LIMIT ?"
)
_REPLAY: Final = (
    f"state = {sql(QUEUED)}, attempts_max = attempt + attempts_first, due_s = ?, expires_s = 0"
)
_AGAIN: Final = f"state = {sql(QUEUED)}, trouble = ?, due_s = ?"
_GIVEN_BACK: Final = f"state = {sql(QUEUED)}, attempts_max = attempts_max + 1, due_s = ?"
_END: Final = "state = ?, trouble = ?, expires_s = ? + ttl_s, cancelling = 0"


class SqliteQueue:
    """The job queue in one SQLite file.

    Args:
        path: The file; created, with its directory, if it does not exist.
        clock: Unix seconds; all processes of the machine must use the same clock.

    Raises:
        HostError: `queue_unreachable`, the file is of a newer schema or locked for 10 s;
            `disk_full`; `host_io`.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, SCHEMA, SCHEMA_VERSION, file_clock.ADDED)
        self._clock = clock
        self._puts = 0
        self._changed = threading.Condition()

    def put(self, new: NewJob) -> Job:
        """See `Queue`."""
        validation.check(new)
        with self._database.writing() as db:
            if new.idempotency_key:
                seen = db.execute(
                    f"SELECT {FIELDS}, request_sha256 FROM job "  # noqa: S608 - a constant
                    "WHERE owner = ? AND idempotency_key = ?",
                    (new.owner, new.idempotency_key),
                ).fetchone()
                if seen is not None:
                    if seen[-1] != new.request_sha256:
                        raise validation.conflict(new.idempotency_key)
                    return read(seen[:-1])
            insert(db, [new], self._now(db))
            job = get(db, new.id)
        self._wake()
        return job

    def claim(self, worker: str, kinds: Sequence[str], lease_s: float) -> Claim | None:
        """See `Queue`."""
        with self._database.reading() as db:  # idle workers do not take the writer's lock
            idle = _ready(db, kinds, self._clock()) is None
            if idle and not file_clock.stepped_back(db, self._clock()):
                return None
        job = None
        with self._database.writing() as db:
            now = self._now(db)
            while job is None and (seq := _ready(db, kinds, now)) is not None:
                if not _ended_without_worker(db, seq, now):
                    job = _claimed(db, seq, worker, lease_s, now)
        return None if job is None else Claim(job, worker, lease_s)

    def wait(self, kinds: Sequence[str], timeout_s: float) -> None:
        """See `Queue`."""
        end = time.monotonic() + timeout_s
        while True:
            with self._changed:
                puts = self._puts
            with self._database.reading() as db:
                found = (db.execute(_SOONEST, {"kind": kind}).fetchone()[0] for kind in kinds)
                soonest = min((at for at in found if at is not None), default=float("inf"))
            left = min(end - time.monotonic(), soonest - self._clock())
            if left <= 0:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._puts != puts, min(left, _POLL_S))  # noqa: B023

    def renew(self, claim: Claim) -> bool:
        """See `Queue`."""
        with self._database.writing() as db:
            now = self._now(db)
            job = held(db, claim)
            until_s = now + claim.lease_s
            db.execute("UPDATE job SET lease_until_s = ? WHERE id = ?", (until_s, job.id))
        return not job.cancelling

    def progress(self, claim: Claim, done: float, total: float | None) -> bool:
        """See `Queue`."""
        with self._database.writing() as db:
            now = self._now(db)
            values = (done, total, now + claim.lease_s)
            sets = "done = ?, total = ?, lease_until_s = ?"
            job = update(db, sets, values, now, held(db, claim))
        return not job.cancelling

    def finish(self, claim: Claim, result: bytes, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        with self._database.writing() as db:
            now = self._now(db)
            job = update(db, _END, (DONE, None, now), now, held(db, claim))
            db.execute(
                "INSERT OR REPLACE INTO result SELECT seq, ? FROM job WHERE id = ?",
                (result, job.id),
            )
            insert(db, follow, now)
        self._wake()
        return job

    def fail(
        self,
        claim: Claim,
        trouble: Trouble,
        retry_in_s: float | None,
        follow: Sequence[NewJob] = (),
    ) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        why = msgspec.json.encode(trouble)
        with self._database.writing() as db:
            now = self._now(db)
            job = held(db, claim)
            if retry_in_s is None or job.attempt >= job.attempts_max:
                job = update(db, _END, (FAILED, why, now), now, job)
                insert(db, follow, now)
            elif job.cancelling:
                job = _orphan(db, job, why, now)
            else:
                job = update(db, _AGAIN, (why, now + retry_in_s), now, job)
        self._wake()
        return job

    def stop(self, claim: Claim, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        with self._database.writing() as db:
            now = self._now(db)
            job = update(db, _END, (CANCELLED, None, now), now, held(db, claim))
            insert(db, follow, now)
        self._wake()
        return job

    def release(self, claim: Claim, delay_s: float = 0.0) -> Job:
        """See `Queue`."""
        with self._database.writing() as db:
            now = self._now(db)
            job = held(db, claim)
            if job.cancelling:
                job = _orphan(db, job, None, now)
            else:
                job = update(db, _GIVEN_BACK, (now + delay_s,), now, job)
        self._wake()
        return job

    def cancel(self, job_id: str, follow: Sequence[NewJob] = ()) -> Job:
        """See `Queue`."""
        validation.check_followers(follow)
        with self._database.writing() as db:
            now = self._now(db)
            job = get(db, job_id)
            if job.state == QUEUED:
                job = update(db, _END, (CANCELLED, None, now), now, job)
                insert(db, follow, now)
            elif job.state == RUNNING and not job.cancelling:
                job = update(db, "cancelling = 1", (), now, job)
        self._wake()
        return job

    def replay(self, job_id: str) -> Job:
        """See `Queue`."""
        with self._database.writing() as db:
            now = self._now(db)
            job = get(db, job_id)
            if job.state not in REPLAYABLE:
                raise validation.wrong_state(job)
            job = update(db, _REPLAY, (now,), now, job)
        self._wake()
        return job

    def get(self, job_id: str) -> Job:
        """See `Queue`."""
        with self._database.reading() as db:
            return get(db, job_id)

    def result(self, job_id: str) -> bytes | None:
        """See `Queue`."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT bytes FROM result JOIN job USING (seq) WHERE id = ?", (job_id,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def page(
        self, *, kind: str, state: State | None = None, owner: str | None = None,
        before: str = "", limit: int = 50,
    ) -> list[Job]:  # fmt: skip
        """See `Queue`."""
        tests, values = ["kind = ?"], [kind]
        for test, value in (("state = ?", state), ("owner = ?", owner)):
            if value is not None:
                tests.append(test)
                values.append(value)
        if before:
            tests.append("seq < (SELECT seq FROM job WHERE id = ?)")
            values.append(before)
        with self._database.reading() as db:
            if before:
                last = get(db, before)
                if last.kind != kind or owner not in (None, last.owner):
                    raise validation.unknown(before)
            rows = db.execute(
                f"SELECT {FIELDS} FROM job WHERE {' AND '.join(tests)} "  # noqa: S608 - constants
                "ORDER BY seq DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [read(row) for row in rows]

    def ahead(self, job: Job) -> int:
        """See `Queue`."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT count(*) FROM job AS other, job AS mine "  # noqa: S608 - constants
                f"WHERE mine.id = ? AND mine.state = {sql(QUEUED)} AND other.state = {sql(QUEUED)} "
                "AND other.kind = mine.kind AND (other.due_s, other.seq) < (mine.due_s, mine.seq)",
                (job.id,),
            ).fetchone()
        return int(row[0])

    def depth(self, kind: str) -> Depth:
        """See `Queue`."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT state, count(*) FROM job WHERE kind = ? "  # noqa: S608 - constants
                f"AND state IN ({sql(*COUNTED)}) GROUP BY state",
                (kind,),
            ).fetchall()
        return dict.fromkeys(COUNTED, 0) | dict(rows)

    def sweep(self) -> list[Job]:
        """See `Queue`."""
        with self._database.reading() as db:
            idle = not db.execute(_OVER, (self._clock(), 1)).fetchall()
        if idle:
            if self._database.log_left:
                self._database.truncate_log()
            return []
        with self._database.writing() as db:
            rows = db.execute(_OVER, (self._now(db), _SWEEP_MAX)).fetchall()
            delete(db, [row[-1] for row in rows])
        self._database.truncate_log()
        return [read(row[:-1]) for row in rows]

    def forget(self, job_id: str) -> Job:
        """See `Queue`."""
        with self._database.writing() as db:
            job = get(db, job_id)
            [(seq,)] = db.execute("SELECT seq FROM job WHERE id = ?", (job_id,)).fetchall()
            delete(db, [seq])
        self._database.truncate_log()
        return job

    def set_aside(self) -> int:
        """See `Queue`; always 0, since the columns' types admit no unreadable record."""
        return 0

    def ping(self) -> None:
        """See `Queue`; takes the writer's lock, so that a full or read-only disk is noticed."""
        with self._database.writing():
            pass

    def caveat(self) -> str:
        """See `Queue`."""
        return ""

    def close(self) -> None:
        """See `Queue`."""
        self._database.close()

    def _now(self, db: sqlite3.Connection) -> float:
        """The time for a transaction that writes (see `glagol.jobs.sqlite.clock`)."""
        return file_clock.now(db, self._clock())

    def _wake(self) -> None:
        """Wake the waiting workers of this process."""
        with self._changed:
            self._puts += 1
            self._changed.notify_all()


def _ready(db: sqlite3.Connection, kinds: Iterable[str], now: float) -> int | None:
    """The `seq` of the oldest job that may be claimed."""
    found = [db.execute(_READY, (kind, now, now)).fetchone() for kind in kinds]
    first = min((row for row in found if row is not None), default=None)
    return None if first is None else int(first[1])


def _claimed(db: sqlite3.Connection, seq: int, worker: str, lease_s: float, now: float) -> Job:
    rows = db.execute(
        f"UPDATE job SET {_CLAIM} WHERE seq = ? RETURNING {FIELDS}",  # noqa: S608 - constants
        (worker, now + lease_s, now, seq),
    ).fetchall()
    return read(rows[0])


def _ended_without_worker(db: sqlite3.Connection, seq: int, now: float) -> bool:
    """End a job whose lease expired, if no attempt is left or it was cancelled; True if ended."""
    job = read(db.execute(f"{SELECT} WHERE seq = ?", (seq,)).fetchone())
    if job.state != RUNNING or not (job.cancelling or job.attempt >= job.attempts_max):
        return False
    if job.cancelling:
        _orphan(db, job, None, now)
    else:
        why = msgspec.json.encode(validation.EXHAUSTED)
        _put_follow_up(db, update(db, _END, (FAILED, why, now), now, job), now)
    return True


def _orphan(db: sqlite3.Connection, job: Job, why: bytes | None, now: float) -> Job:
    """Cancel a job that no worker holds."""
    job = update(db, _END, (CANCELLED, why, now), now, job)
    _put_follow_up(db, job, now)
    return job


def _put_follow_up(db: sqlite3.Connection, job: Job, now: float) -> None:
    kind, ttl_s = db.execute("SELECT heir_kind, ttl_s FROM job WHERE id = ?", (job.id,)).fetchone()
    if kind:
        insert(db, [validation.orphan_follow_up(job, kind, ttl_s)], now)
