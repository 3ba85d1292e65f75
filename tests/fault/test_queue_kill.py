"""No job that was acknowledged is lost to kill -9, and none is delivered twice under one number.

`build/proof-jobs` runs the same with 100 rounds, and holds the redelivery to the lease and 2 s.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.queue_kill import kill_redis, kill_workers
from jobs.adapters import Way
from jobs.redis_server import PROGRAM, RedisServer

ROUNDS = 4


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that may be killed."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine: the Redis half is not tested")
    directory = Path(tempfile.mkdtemp(prefix="glagol-redis-"))  # a socket's path must be short
    made = RedisServer(directory)
    made.start()
    yield made
    made.kill()
    shutil.rmtree(directory)


def test_workers_killed_over_sqlite(tmp_path: Path) -> None:
    """At random moments, mostly in mid-job."""
    figures = kill_workers(Way(str(tmp_path / "jobs.sqlite"), ""), tmp_path, ROUNDS, seed=1)
    assert figures.jobs >= ROUNDS


def test_workers_killed_over_redis(server: RedisServer, tmp_path: Path) -> None:
    """At random moments, mostly in mid-job."""
    figures = kill_workers(Way(server.url, "{killed}"), tmp_path, ROUNDS, seed=2)
    assert figures.jobs >= ROUNDS


def test_redis_killed(server: RedisServer, tmp_path: Path) -> None:
    """In mid-write; it comes back from its append-only file."""
    figures = kill_redis(server, Way(server.url, "{killed}"), tmp_path, ROUNDS, seed=3)
    assert figures.jobs
