"""Queues over the real thing; what needs redis-server is skipped, in words, where there is none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.adapters import Turned, Way, new_way, turned_redis, turned_sqlite
from jobs.redis_server import MEMORY, PROGRAM, RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests of this process; each takes a prefix of its own."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine: the Redis half is not tested")
    # a socket's path must be short
    directory = Path(tempfile.mkdtemp(prefix="glagol-redis-", dir=MEMORY))
    server = RedisServer(directory)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "redis"])
def turned(request: pytest.FixtureRequest) -> Iterator[Turned]:
    """A queue whose clock the test turns."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        made = (
            turned_sqlite(Path(name))
            if request.param == "sqlite"
            else turned_redis(request.getfixturevalue("redis_server"))
        )
        yield made
        made.queue.close()


@pytest.fixture(params=["sqlite", "redis"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """The way to a queue in real time, for any thread or process to open."""
    if request.param == "sqlite":
        return Way(str(tmp_path / "jobs.sqlite"), "")
    return new_way(request.getfixturevalue("redis_server"))
