"""What is Redis's own: a server that is down, full, read-only or loading; what is left in it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from glagol.core.errors import HostError, InputError
from glagol.jobs.queue import Claim, NewJob, Trouble
from glagol.jobs.redis.queue import RedisQueue
from glagol.jobs.validation import EXHAUSTED
from jobs.adapters import turned_redis
from jobs.redis_server import MEMORY, PATIENCE_S, PROGRAM, RedisServer
from jobs.test_contract import claimed

SECRET = "pa55-w0rd"  # noqa: S105
Start = Callable[..., RedisServer]
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no redis-server on this machine: its adapter is not tested"
)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server of this test's own, with options."""
    servers = []

    def starting(*options: str) -> RedisServer:
        directory = Path(tempfile.mkdtemp(prefix="glagol-redis-", dir=MEMORY))
        server = RedisServer(directory, *options)
        servers.append(server)
        server.start()
        return server

    yield starting
    for server in servers:
        server.kill()
        shutil.rmtree(server.directory)


def new(job_id: str = "one", **options: Any) -> NewJob:
    return NewJob(id=job_id, kind="read", payload=b"x", **options)


def unreachable(call: Callable[[], object]) -> HostError:
    """It raises `queue_unreachable`."""
    with pytest.raises(HostError) as caught:
        call()
    assert caught.value.code == "queue_unreachable"
    return caught.value


def test_a_server_that_was_down_is_found_again(start: Start) -> None:
    """By the same queue, with what was acknowledged; nothing hangs meanwhile."""
    server = start()
    queue = RedisQueue(server.url)
    queue.put(new())
    server.kill()
    for call in (queue.ping, queue.caveat, lambda: queue.get("one"), lambda: queue.result("one")):
        assert str(server.socket) in str(unreachable(call))
    unreachable(lambda: queue.wait(["read"], 60.0))
    server.start()
    assert queue.claim("w", ["read"], 1.0) is not None
    queue.close()


def test_a_queue_may_be_opened_before_its_server_starts(tmp_path: Path) -> None:
    """As after a power cut, when everything starts at once."""
    queue = RedisQueue(f"unix://{tmp_path / 'missing'}")
    unreachable(lambda: queue.put(new()))


def test_a_server_that_hangs_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle; it answers the next call once it continues."""
    monkeypatch.setattr("glagol.jobs.redis.queue._ANSWER_S", 0.3)
    server = start()
    queue = RedisQueue(server.url)
    queue.put(new())
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    unreachable(queue.ping)
    os.kill(server._process.pid, signal.SIGCONT)
    queue.ping()
    assert queue.get("one").state == "queued"


def test_a_password_gets_into_no_message(start: Start) -> None:
    """Wrong, in an address that cannot be read, or right at a server that is gone."""
    server = start()
    client = redis.Redis(unix_socket_path=str(server.socket))
    client.config_set("requirepass", "another")
    wrong = RedisQueue(f"{server.url}?password={SECRET}")
    assert SECRET not in repr(unreachable(wrong.ping))
    unreachable(RedisQueue(server.url).ping)
    right = RedisQueue(f"{server.url}?password=another")
    right.ping()
    server.kill()
    assert "another" not in repr(unreachable(right.ping))
    for url in (
        f"redis://:{SECRET}/more@host",
        f"http://:{SECRET}@host",
        f"redis://:{SECRET}@h?socket_timeout={SECRET}",
    ):
        with pytest.raises(InputError) as caught:
            RedisQueue(url)
        assert caught.value.code == "setting_invalid"
        assert SECRET not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_user_that_may_touch_our_keys_alone_is_enough(start: Start) -> None:
    """The rights of the page on the queue: all transitions work, no other key is in reach."""
    server = start()
    admin = redis.Redis(unix_socket_path=str(server.socket))
    page = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "queue.md"
    text = page.read_text(encoding="utf-8")
    [rights] = [line.split()[4:] for line in text.splitlines() if "ACL SETUSER" in line]
    admin.execute_command("ACL", "SETUSER", "glagol", "on", f">{SECRET}", *rights)
    queue = RedisQueue(f"{server.url}?username=glagol&password={SECRET}")
    admin.execute_command("ACL", "SETUSER", "glagol", "-time")
    assert "The user executing the script" in str(unreachable(queue.ping))
    admin.execute_command("ACL", "SETUSER", "glagol", "+time")
    queue.ping()
    assert "appendfsync is unknown" in queue.caveat()
    queue.put(new(attempts_max=9))
    writes: tuple[Callable[[Claim], object], ...] = (
        queue.release,
        lambda claim: queue.fail(claim, Trouble("host_io", "", ""), 0.0),
        lambda claim: queue.progress(claim, 1.0, None) and queue.fail(claim, EXHAUSTED, None),
    )
    for write in writes:
        write(claimed(queue))
    queue.wait(["read"], 0.01)
    queue.replay("one")
    queue.finish(claimed(queue), b"r", [new("two", ttl_s=0.0)])
    assert (queue.result("one"), queue.cancel("two").state) == (b"r", "cancelled")
    assert [job.id for job in queue.sweep()] == ["two"]
    assert (queue.depth("read")["queued"], len(queue.page(kind="read"))) == (0, 1)
    stranger = redis.Redis(unix_socket_path=str(server.socket), username="glagol", password=SECRET)
    for command in (("GET", "other"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            stranger.execute_command(*command)


def test_a_node_of_a_cluster_will_do(start: Start) -> None:
    """All keys of a queue have one slot, so no transition touches two."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [str(held.getsockname()[1]) for held in (one, two)]
    server = start(
        "--bind", "127.0.0.1", "--port", ports[0], "--cluster-port", ports[1],
        "--cluster-enabled", "yes",
    )  # fmt: skip
    client = redis.Redis(unix_socket_path=str(server.socket))
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    end = time.monotonic() + PATIENCE_S
    while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
        assert time.monotonic() < end, "the cluster does not come up"
        time.sleep(0.05)
    queue = RedisQueue(server.url)
    queue.put(new(idempotency_key="k", ttl_s=0.0))
    claim = queue.claim("w", ["read", "send"], 9.0)
    assert claim is not None
    queue.progress(claim, 1.0, None)
    queue.finish(claim, b"result", [new("two")])
    queue.wait(["read", "send"], 1.0)
    assert queue.result("one") == b"result"
    assert [job.id for job in queue.sweep()] == ["one"]
    slots = {client.execute_command("CLUSTER", "KEYSLOT", key) for key in client.scan_iter("*")}
    assert len(slots) == 1


def test_a_full_server_changes_nothing(start: Start) -> None:
    """Out of memory: what needs room fails as a whole, and works once there is some."""
    queue = RedisQueue((server := start()).url)
    client = redis.Redis(unix_socket_path=str(server.socket))
    for name in ("one", "two", "three"):
        queue.put(new(name))
    claim = queue.claim("w", ["read"], 60.0)
    assert claim is not None
    before = queue.page(kind="read")
    client.config_set("maxmemory", "1")
    for call in (
        lambda: queue.put(new("four")),
        lambda: queue.finish(claim, b"result"),
        queue.ping,
    ):
        assert "maxmemory" in str(unreachable(call))
    client.config_set("maxmemory", "0")
    assert queue.page(kind="read") == before
    assert queue.finish(claim, b"result").state == "done"
    assert queue.put(new("four")).state == "queued"


def test_a_read_only_server_is_seen(start: Start) -> None:
    """A replica whose master is gone: ping says so, and so does every write."""
    server = start("--replicaof", "127.0.0.1", "1")
    queue = RedisQueue(server.url)
    for call in (queue.ping, lambda: queue.put(new())):
        assert "read only replica" in str(unreachable(call))


def test_a_server_that_is_still_loading_is_seen(tmp_path: Path) -> None:
    """Its answer to everything, from a socket that says nothing else."""

    class Loading(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                if not line.startswith((b"*", b"$")):
                    continue
                if line.startswith(b"*"):
                    for _ in range(2 * int(line[1:])):
                        self.rfile.readline()
                    self.wfile.write(b"-LOADING Redis is loading the dataset in memory\r\n")

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "s"), Loading) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        queue = RedisQueue(f"unix://{tmp_path / 's'}")
        assert "loading" in str(unreachable(queue.ping)).lower()
        queue.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--appendonly", "no"), "appendonly is off"),
        (("--appendfsync", "everysec"), "appendfsync is everysec"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "allkeys-lru"),
        (("--rename-command", "CONFIG", ""), "appendfsync is unknown"),
    ],
)
def test_what_the_server_cannot_promise_is_said(
    start: Start, options: tuple[str, ...], words: str
) -> None:
    """A server that forgets is worth a warning, with its address."""
    server = start(*options)
    caveat = RedisQueue(server.url).caveat()
    assert words in caveat
    assert str(server.socket) in caveat


def test_streams_name_the_worker_of_each_job(redis_server: RedisServer) -> None:
    """For an operator: the group's pending list is what runs, by worker, with the lease's age."""
    turned = turned_redis(redis_server)
    queue = turned.queue
    assert isinstance(queue, RedisQueue)
    client, stream = queue._client, f"{queue._prefix}:stream:read"
    for name in ("one", "two"):
        queue.put(new(name))
    queue.claim("anna", ["read"], 10.0)
    pending = client.xpending(stream, "workers")
    assert [(c["name"], c["pending"]) for c in pending["consumers"]] == [(b"anna", 1)]
    assert client.xlen(stream) == 2
    turned.advance(10.0)
    claim = queue.claim("boris", ["read"], 10.0)
    assert claim is not None
    pending = client.xpending(stream, "workers")
    assert [(c["name"], c["pending"]) for c in pending["consumers"]] == [(b"boris", 1)]
    queue.finish(claim, b"")
    assert client.xpending(stream, "workers")["pending"] == 0
    assert client.xlen(stream) == 1


def test_nothing_is_left_of_what_was_forgotten(redis_server: RedisServer) -> None:
    """After all jobs ended in every way and were swept: counters, kinds and empty streams."""
    turned = turned_redis(redis_server)
    queue = turned.queue
    assert isinstance(queue, RedisQueue)
    for number in range(8):
        queue.put(new(f"job{number}", idempotency_key=f"k{number}", delay_s=float(number % 2)))
    queue.cancel("job0")
    queue.cancel("job1")
    turned.advance(1.0)
    while claim := queue.claim("w", ["read"], 10.0):
        if claim.job.id == "job2" and claim.job.attempt == 1:
            queue.release(claim)
        elif claim.job.id == "job3":
            queue.cancel("job3")
            queue.stop(claim)
        else:
            queue.finish(claim, b"result", [new(f"{claim.job.id}-next")] * (number % 2))
            number = 0
    turned.advance(1e6)
    assert len(queue.sweep()) == 9
    client, prefix = queue._client, queue._prefix
    left = {key.decode().removeprefix(f"{prefix}:") for key in client.scan_iter(f"{prefix}:*")}
    assert left == {"clock", "kinds", "seq", "stream:read"}
    assert client.xlen(f"{prefix}:stream:read") == 0


def test_workers_that_went_away_are_struck_off(redis_server: RedisServer) -> None:
    """Once idle for a day; one that holds a job stays."""
    queue = turned_redis(redis_server).queue
    assert isinstance(queue, RedisQueue)
    for name in ("one", "two"):
        queue.put(new(name))
    for worker in ("gone", "busy"):
        claim = queue.claim(worker, ["read"], 10.0)
        if worker == "gone" and claim is not None:
            queue.finish(claim, b"")
    stream = f"{queue._prefix}:stream:read"
    queue.sweep()
    assert len(queue._client.xinfo_consumers(stream, "workers")) == 2
    queue._run("tidy", -1)
    assert [c["name"] for c in queue._client.xinfo_consumers(stream, "workers")] == [b"busy"]
