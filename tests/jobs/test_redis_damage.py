"""Data in Redis that another program wrote: it is set aside and counted, and nothing stops."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from glagol.core.errors import InputError
from glagol.jobs.queue import Job, NewJob, Queue
from glagol.jobs.redis.queue import RedisQueue
from jobs.adapters import turned_redis
from jobs.redis_server import RedisServer

LEASE_S = 10.0
HONEST = {"waits", "later", "runs", "ended"}

# what is done to the keys of a queue, and how many records are set aside for it at least;
# `bad` waits, and is the only one that may be lost
DAMAGE: dict[str, tuple[int, list[tuple[object, ...]]]] = {
    "nothing": (0, []),
    "a field is missing": (1, [("HDEL", "job:bad", "attempt")]),
    "a field is no number": (1, [("HSET", "job:bad", "attempt", "x")]),
    "a time is no time": (1, [("HSET", "job:bad", "due_s", "nan")]),
    "a number is hexadecimal": (1, [("HSET", "job:bad", "done", "0x10")]),
    "no such state": (1, [("HSET", "job:bad", "state", "lost")]),
    "no payload": (1, [("HDEL", "job:bad", "payload")]),
    "a job is a string": (1, [("DEL", "job:bad"), ("SET", "job:bad", "x")]),
    "a job is gone": (0, [("DEL", "job:bad")]),
    "trouble is no JSON": (0, [("HSET", "job:bad", "trouble", "{")]),
    "an owner is no UTF-8": (0, [("HSET", "job:bad", "owner", b"\xff")]),
    "a stray entry": (1, [("XADD", "stream:read", "*", "foo", "bar")]),
    "many stray entries": (9, [("XADD", "stream:read", "*", "foo", "bar")] * 9),
    "an entry of no job": (0, [("XADD", "stream:read", "*", "id", "unknown", "due_s", "1")]),
    "an entry that is never due": (1, [("XADD", "stream:read", "*", "id", "bad", "due_s", "x")]),
    "an entry twice": (0, [("XADD", "stream:read", "*", "id", "waits", "due_s", "1")]),
    "an entry of a running job": (0, [("XADD", "stream:read", "*", "id", "runs", "due_s", "1")]),
    "no group": (0, [("XGROUP", "DESTROY", "stream:read", "workers")]),
    "no stream": (0, [("DEL", "stream:read")]),
    "ghosts": (0, [("ZADD", key, 0, "ghost") for key in (
        "due:read", "later:read", "lease:read", "list:read::", "list:read::oanna",
        "list:read:queued:", "list:read:running:", "ends")]),
    "a kind without jobs": (0, [("SADD", "kinds", "a:b c")]),
    "a key of no job": (0, [("HSET", "keys", "4:anna:k", "ghost")]),
    "the schema is no number": (1, [("SET", "schema", "x")]),
    "the counter is no number": (1, [("SET", "seq", "x")]),
    "a result is a list": (1, [("DEL", "result:ended"), ("RPUSH", "result:ended", "x")]),
    **{
        f"{key} is a {'list' if key != 'kinds' else 'string'}": (
            1, [("DEL", key), ("SET" if key == "kinds" else "RPUSH", key, "x")])
        for key in ("stream:read", "later:read", "due:read", "lease:read", "ends", "kinds",
                    "keys", "seq", "schema", "list:read::", "list:read:queued:",
                    "list:read:running:", "list:read:done:", "list:read::oanna")
    },
}  # fmt: skip


def new(job_id: str, **options: Any) -> NewJob:
    return NewJob(id=job_id, kind="read", payload=b"{}", owner="anna", **options)


def filled(queue: Queue) -> None:
    """One that is done, one that runs, one that waits, one that waits for its time, and `bad`."""
    queue.put(new("ended"))
    claim = queue.claim("w", ["read"], LEASE_S)
    assert claim is not None
    queue.finish(claim, b"result")
    queue.put(new("runs"))
    assert queue.claim("w", ["read"], LEASE_S) is not None
    queue.put(new("waits"))
    queue.put(new("bad"))
    queue.put(new("later", delay_s=5.0))


def pages(queue: Queue) -> dict[str, Job]:
    """All jobs by every list there is."""
    found = {job.id: job for job in queue.page(kind="read", limit=3)}
    last = min(found, key=lambda name: found[name].created_s)
    found |= {job.id: job for job in queue.page(kind="read", before=last)}
    assert {job.id for job in queue.page(kind="read", owner="anna")} <= found.keys()
    for state in ("queued", "running", "done", "failed", "cancelled"):
        for job in queue.page(kind="read", state=state):
            assert job.state == state
    return found


def worked(queue: Queue) -> list[str]:
    """Claim and finish until there is nothing to do; the names, in order."""
    names = []
    while (claim := queue.claim("other", ["read", "send"], LEASE_S)) is not None:
        names.append(claim.job.id)
        queue.finish(claim, claim.job.id.encode())
    return names


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_stops_nothing(
    case: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call works, every other job is listed and done once, and the log names the record."""
    at_least, commands = DAMAGE[case]
    turned = turned_redis(redis_server)
    queue = turned.queue
    assert isinstance(queue, RedisQueue)
    filled(queue)
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        for name, *rest in commands:
            place = 1 if name == "XGROUP" else 0
            rest[place] = f"{queue._prefix}:{rest[place]}"
            client.execute_command(str(name), *rest)
    assert pages(queue).keys() >= HONEST
    assert queue.put(new("fresh", idempotency_key="k", request_sha256="a")).id == "fresh"
    assert queue.get("runs").state == "running"
    assert queue.ahead(queue.get("waits")) <= 3
    depth = queue.depth("read")
    assert (depth["running"], depth["failed"]) == (1, 0)
    done = worked(queue)
    assert sorted(done) == sorted({*done}), "nothing is done twice"
    assert {"waits", "fresh"} <= {*done} <= {"waits", "bad", "fresh"}
    turned.advance(5.0)
    assert worked(queue) == ["later"]
    began = time.monotonic()
    queue.wait(["read"], 0.02)
    assert time.monotonic() - began >= 0.02, "what is not there is not waited for in a circle"
    turned.advance(30.0)
    assert worked(queue) == ["runs"]
    for name in HONEST | {"fresh"}:
        assert queue.get(name).state == "done"
        lost = case == "a result is a list" and name == "ended"
        assert queue.result(name) == (None if lost else
                                      b"result" if name == "ended" else name.encode())  # fmt: skip
    with_bad = {"bad"} if "bad" in done else set()
    turned.advance(1e6)
    assert {job.id for job in queue.sweep()} == HONEST | {"fresh"} | with_bad
    assert worked(queue) == []
    assert pages_are_empty(queue)
    assert queue.set_aside() >= at_least
    logged = [vars(record)["fields"] for record in caplog.records]
    assert len(logged) == queue.set_aside()
    assert all(one["code"] == "state_damaged" and one["record"] for one in logged)


def pages_are_empty(queue: Queue) -> bool:
    """Nothing is listed, by any list."""
    return not queue.page(kind="read") and not queue.page(kind="read", owner="anna")


def test_what_is_set_aside_is_kept_for_a_while(redis_server: RedisServer) -> None:
    """An operator finds it under its name, for a week."""
    queue = turned_redis(redis_server).queue
    assert isinstance(queue, RedisQueue)
    queue.put(new("bad"))
    client: Any = queue._client
    client.hset(f"{queue._prefix}:job:bad", "attempt", "x")
    client.xadd(f"{queue._prefix}:stream:read", {"foo": "bar"})
    with pytest.raises(InputError) as caught:
        queue.get("bad")
    assert caught.value.code == "job_unknown"
    assert queue.claim("w", ["read"], LEASE_S) is None
    kept, entries = (f"{queue._prefix}:aside:{name}" for name in ("job:bad", "entries"))
    assert client.hget(kept, "attempt") == b"x"
    [(_, fields)] = client.xrange(entries)
    assert fields == {b"kind": b"read", b"foo": b"bar"}
    assert 6 * 86400 < client.ttl(kept) <= 7 * 86400
    assert queue.put(new("bad")).state == "queued", "its name is free again"
    assert queue.set_aside() == 2
