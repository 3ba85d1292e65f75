"""What is SQLite's own: the file, its schema, and a disk that is full or in other hands."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from glagol.core.errors import HostError
from glagol.jobs.factory import open_queue
from glagol.jobs.queue import NewJob
from glagol.jobs.redis.queue import RedisQueue
from glagol.jobs.sqlite.queue import SqliteQueue


def new(job_id: str = "one", payload: bytes = b"x") -> NewJob:
    return NewJob(id=job_id, kind="read", payload=payload)


def test_the_address_decides(tmp_path: Path) -> None:
    """No address: a file in the directory, which is made; a server need not be up."""
    queue = open_queue("", tmp_path / "a" / "b")
    assert isinstance(queue, SqliteQueue)
    queue.close()
    assert (tmp_path / "a" / "b" / "jobs.sqlite").is_file()
    assert isinstance(open_queue(f"unix://{tmp_path}/s", tmp_path / "c"), RedisQueue)
    assert not (tmp_path / "c").exists()


def test_other_users_cannot_read_the_file(tmp_path: Path) -> None:
    """Nor what SQLite keeps beside it."""
    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    queue.put(new())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("jobs.sqlite", "jobs.sqlite-shm", "jobs.sqlite-wal"), 0o600)
    queue.close()


@pytest.mark.parametrize("how", ["forget", "sweep"])
def test_no_byte_of_what_was_forgotten_stays_in_the_files(tmp_path: Path, how: str) -> None:
    """Payload and result, small and of many pages, are neither in the file nor in its log."""
    time_s = [1000.0]
    queue = SqliteQueue(tmp_path / "jobs.sqlite", clock=lambda: time_s[0])
    other = SqliteQueue(tmp_path / "jobs.sqlite", clock=lambda: time_s[0])
    for name, size in (("small", 1), ("large", 5000)):
        words = f"тайна {name} ".encode() * size
        queue.put(NewJob(id=name, kind="read", payload=words, ttl_s=60.0))
        other.put(NewJob(id=f"kept-{name}", kind="keep", payload=b"kept"))
        claim = queue.claim("w", ["read"], 10.0)
        assert claim is not None
        queue.finish(claim, words)
    files = [*tmp_path.iterdir()]
    assert any("тайна".encode() in path.read_bytes() for path in files)
    if how == "forget":
        queue.forget("small")
        queue.forget("large")
    else:
        time_s[0] += 60.0
        assert len(queue.sweep()) == 2
    for path in files:
        assert "тайна".encode() not in path.read_bytes(), path.name
    assert other.get("kept-large").payload == b"kept"
    queue.close()
    other.close()


class SetClock:
    """A queue whose clock an operator, or NTP, sets."""

    def __init__(self, path: Path, now_s: float = 1_800_000_000.0) -> None:
        self.path, self.now_s = path, now_s
        self.queue = self.opened()

    def opened(self) -> SqliteQueue:
        """Another one on the same file, as of another process."""
        return SqliteQueue(self.path, clock=lambda: self.now_s)


@pytest.mark.parametrize("step_s", [0.4, 2.0, 3600.0, 3e8])
def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path, step_s: float) -> None:
    """What was due is due, what was delayed keeps its delay, and a lease its length."""
    made = SetClock(tmp_path / "jobs.sqlite")
    queue, slack_s = made.queue, 1.0
    for name in ("dead", "waits", "later"):
        queue.put(NewJob(id=name, kind="read", payload=b"", delay_s=60.0 * (name == "later")))
    dead = queue.claim("w", ["read"], 30.0)
    assert dead is not None
    assert dead.job.id == "dead"
    made.now_s += 5.0
    queue.renew(dead)
    age_s = made.now_s - queue.get("waits").created_s
    made.now_s -= step_s
    again = made.opened()
    claim = again.claim("w", ["read"], 300.0)
    assert claim is not None
    assert claim.job.id == "waits"
    assert abs(made.now_s - claim.job.created_s - age_s) <= slack_s
    assert again.claim("w", ["read"], 30.0) is None
    made.now_s += 30.0 + slack_s
    claim = queue.claim("w", ["read"], 300.0)
    assert claim is not None
    assert claim.job.id == "dead"
    made.now_s += 30.0
    claim = queue.claim("w", ["read"], 300.0)
    assert claim is not None
    assert claim.job.id == "later"
    queue.finish(claim, b"r")
    expires_s = queue.get("later").expires_s
    made.now_s -= step_s
    queue.ping()
    queue.put(new("fresh"))
    assert queue.get("later").expires_s - expires_s <= -step_s + slack_s or step_s <= slack_s
    made.queue.close()
    again.close()


def test_a_file_of_before_gets_its_clock(tmp_path: Path) -> None:
    """One that the last release wrote, and a clock that was set back before this one started."""
    made = SetClock(tmp_path / "jobs.sqlite")
    made.queue.put(new())
    made.queue.close()
    with sqlite3.connect(made.path) as db:
        db.execute("DROP TABLE clock")
    db.close()
    made.now_s -= 3600.0
    queue = made.opened()
    assert queue.claim("w", ["read"], 1.0) is not None
    queue.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """On each connection, those of later threads too."""
    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    with queue._database.reading() as one, queue._database.reading() as two:
        for db in (one, two):
            assert db.execute("PRAGMA synchronous").fetchone() == (2,)
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    queue.close()


def test_a_put_of_this_process_wakes_waiting_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: with polling as good as off, nothing else could."""
    monkeypatch.setattr("glagol.jobs.sqlite.queue._POLL_S", 600.0)
    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    waiting = [threading.Thread(target=queue.wait, args=(["read"], 600.0)) for _ in range(2)]
    for thread in waiting:
        thread.start()
    queue.put(new())
    for thread in waiting:
        thread.join(60.0)
        assert not thread.is_alive()
    queue.close()


def test_processes_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    """One of them makes the schema; none fails."""
    path = tmp_path / "jobs.sqlite"
    code = (
        "import sys; from pathlib import Path; from glagol.jobs.sqlite.queue import SqliteQueue; "
    )
    code += "sys.stdin.read(1); SqliteQueue(Path(sys.argv[1])).ping()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code, path], env=environment, stdin=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in started:
        process.communicate(b"x")
    assert [process.returncode for process in started] == [0] * 4


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """The message says which, and what to do."""
    path = tmp_path / "jobs.sqlite"
    SqliteQueue(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(HostError, match="schema 99; this program knows schema 1") as caught:
        SqliteQueue(path)
    assert caught.value.code == "queue_unreachable"
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    """An operator's business, with the file's name."""
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(HostError, match=r"jobs\.sqlite") as caught:
        SqliteQueue(path)
    assert caught.value.code == "host_io"
    with pytest.raises(HostError) as caught:
        SqliteQueue(path / "below-a-file")
    assert caught.value.code == "host_io"


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """`disk_full`; it continues once there is room."""
    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    queue.put(new())
    [db] = queue._database._idle
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HostError) as caught:
        queue.put(new("two", b"x" * 100_000))
    assert caught.value.code == "disk_full"
    assert [job.id for job in queue.page(kind="read")] == ["one"]
    assert queue.put(new("two", b"x" * 100_000)).id == "two"
    queue.close()


def test_a_file_that_stays_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`queue_unreachable` for writes; reading continues."""
    monkeypatch.setattr("glagol.jobs.sqlite.connection._BUSY_S", 0.1)
    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    queue.put(new())
    other = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HostError) as caught:
        queue.put(new("two"))
    assert caught.value.code == "queue_unreachable"
    assert queue.get("one").state == "queued"
    other.execute("ROLLBACK")
    assert queue.put(new("two")).state == "queued"
    other.close()
    queue.close()
    with pytest.raises(HostError, match="closed"):
        queue.ping()
