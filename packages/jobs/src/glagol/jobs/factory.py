"""Open the queue that the settings choose: Redis by address, else a SQLite file."""

from __future__ import annotations

from pathlib import Path

from glagol.jobs.queue import Queue

__all__ = ["open_queue"]


def open_queue(redis_url: str, directory: Path) -> Queue:
    """Open the queue; only the adapter that is used is imported.

    Args:
        redis_url: Address of a Redis server, which need not be up yet; empty means the file.
        directory: Where `jobs.sqlite` lives; made when it is not there. Unused with Redis.

    Raises:
        InputError: `setting_invalid`, the address is none.
        HostError: `queue_unreachable`, `disk_full`, `host_io`, about the file.
    """
    if redis_url:
        from glagol.jobs.redis.queue import RedisQueue

        return RedisQueue(redis_url)
    from glagol.jobs.sqlite.queue import SqliteQueue

    return SqliteQueue(directory / "jobs.sqlite")
