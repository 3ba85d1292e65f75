"""Both adapters over the real thing, each with a clock that a test can turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glagol.jobs.queue import Queue
from glagol.jobs.redis.queue import RedisQueue
from glagol.jobs.sqlite.queue import SqliteQueue
from jobs.redis_server import RedisServer

START_S = 1_800_000_000.0
_number = itertools.count()


@dataclass(frozen=True)
class Turned:
    """A queue whose time stands still until `advance`."""

    queue: Queue
    now: Callable[[], float]
    advance: Callable[[float], None]


def turned_sqlite(directory: Path) -> Turned:
    """A new file; the clock is an argument of the adapter."""
    time_s = [START_S]

    def advance(seconds: float) -> None:
        time_s[0] += seconds

    def now() -> float:
        return time_s[0]

    return Turned(SqliteQueue(directory / f"{next(_number)}.sqlite", clock=now), now, advance)


def turned_redis(server: RedisServer) -> Turned:
    """A new prefix; the script reads a key of Redis where it would ask Redis for its time."""
    queue = RedisQueue(server.url, prefix=f"{{turned-{next(_number)}}}")
    client, key = queue._client, f"{queue._prefix}:clock"
    source = queue._script.script
    assert isinstance(source, str)
    clock = f"{{call('GET', '{key}'), '0'}}"
    assert source.count("call('TIME')") == 1
    queue._script = client.register_script(source.replace("call('TIME')", clock))
    client.set(key, START_S)

    def now() -> float:
        return float(client.get(key) or 0)

    def advance(seconds: float) -> None:
        client.incrbyfloat(key, seconds)

    return Turned(queue, now, advance)


@dataclass(frozen=True)
class Way:
    """How any thread or process gets to a queue in real time: a file, or address and prefix."""

    place: str
    prefix: str

    def open(self) -> Queue:
        """Another instance on the same queue."""
        if self.prefix:
            return RedisQueue(self.place, prefix=self.prefix)
        return SqliteQueue(Path(self.place))


def new_way(server: RedisServer) -> Way:
    """A prefix that no test used."""
    return Way(server.url, f"{{real-{next(_number)}}}")
