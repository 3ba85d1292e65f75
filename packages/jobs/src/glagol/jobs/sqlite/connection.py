"""One SQLite file used by many threads and processes: connections, transactions, the schema.

The file is in WAL mode with `synchronous=FULL`: what was committed is on the disk. What was deleted
is overwritten in the file at once, and in the log by `truncate_log`. WAL needs memory
shared between the processes, so the file has to be on a local disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from glagol.core.errors import HostError
from glagol.core.files import private_folder

__all__ = ["Database"]

_BUSY_S: Final = 10.0


class Database:
    """A database file and its connections; a thread uses one during a transaction.

    Args:
        path: The file; made, with its directory, when it is not there. Only its owner may read it.
        schema: Statements that make the tables.
        version: Of the schema, 1 or more; kept in the file's `user_version`.
        added: Statements that are run at every opening, and change nothing the second time.
        mapped_bytes: How much of the file is read through a mapping, without copies.

    Raises:
        HostError: `queue_unreachable`, the file's schema is newer, or it stayed locked for 10 s;
            `disk_full`; `host_io`. Every method raises the same.
    """

    def __init__(
        self, path: Path, schema: str, version: int, added: str = "", *, mapped_bytes: int = 0
    ) -> None:
        self.path = path
        self._mapped_bytes = mapped_bytes
        self.log_left = False
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._lock = threading.Lock()
        try:
            private_folder(path.parent)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise _host_io(path, error.strerror or str(error)) from error
        with self.reading() as db:
            mode = _use_wal(db)
        if mode != "wal":  # as on network disks, where no two processes could share it
            raise _host_io(path, f"its disk allows no write-ahead log, only {mode}")
        with self.writing() as db:
            self._prepare(db, schema, version, added)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode; each statement sees one snapshot."""
        with self._lock:
            if self._closed:
                raise _unreachable(self.path, "it was closed")
            db = self._idle.pop() if self._idle else None
        kept = False
        try:
            db = db or self._open()
            yield db
            kept = True
        except sqlite3.Error as error:
            raise _translated(self.path, error) from error
        except Exception:
            kept = True  # the caller's own, nothing is wrong with the connection
            raise
        finally:
            with self._lock:
                kept = kept and not self._closed
                if kept and db is not None:
                    self._idle.append(db)
            if not kept and db is not None:
                db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that holds the writer's lock from its beginning.

        It is committed, and on the disk, when the block ends; whatever the block raises undoes it.
        """
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def truncate_log(self) -> None:
        """Empty the write-ahead log, which still holds pages as they were before a deletion.

        A reader of another process can be in the way; the next call then tries again.
        """
        with self.reading() as db:
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.log_left = bool(busy)

    def close(self) -> None:
        """Close every connection, those in use when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")  # what is forgotten is gone
            db.execute(f"PRAGMA mmap_size = {self._mapped_bytes}")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection, schema: str, version: int, added: str) -> None:
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        if found > version:
            raise HostError(
                "queue_unreachable",
                f"{self.path} has schema {found}; this program knows schema {version}",
                "start the newer program that wrote it, or name another directory",
            )
        if found == 0:
            for statement in schema.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version}")
        for statement in added.split(";"):
            db.execute(statement)


def _use_wal(db: sqlite3.Connection) -> str:
    """Switch the file to WAL mode, which is stored in it; returns the mode.

    SQLite has no waiting line while another process sets the mode, so this retries.
    """
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _unreachable(path: Path, why: str) -> HostError:
    return HostError(
        "queue_unreachable",
        f"the queue's file {path} cannot be used: {why}",
        "see which process holds it; it has to be on a local disk",
    )


def _host_io(path: Path, why: str) -> HostError:
    return HostError(
        "host_io",
        f"the queue's file {path} cannot be used: {why}",
        "check the directory's disk and permissions, or name another directory",
    )


def _translated(path: Path, error: sqlite3.Error) -> HostError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended part says where in SQLite
    if code == sqlite3.SQLITE_FULL:
        return HostError(
            "disk_full",
            f"there is no room for the queue's file {path}",
            "free space on its disk",
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return _unreachable(path, f"locked for {_BUSY_S:.0f} s")
    outside = {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
    if code in outside:
        return _host_io(path, str(error))
    raise error  # a mistake of ours
