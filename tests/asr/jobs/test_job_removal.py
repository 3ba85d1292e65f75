"""DELETE of a job that has ended: nothing of what was said stays, in any file or in Redis."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from asr.bench import Bench
from asr.jobs.job_steps import (
    HOOK,
    PATIENCE_S,
    SECRET,
    code,
    deliveries,
    files,
    submit,
    until,
    view,
)
from glagol.core.errors import CODES, HostError
from glagol.jobs.queue import NewJob
from glagol.web.access.policy import Policy, Webhooks
from jobs.redis_server import MEMORY, PROGRAM, RedisServer

SECRET_WORDS = "".join(map(chr, range(ord("а"), ord("я") + 1))) * 3  # in no log and no name


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis of its own; a socket's path must be short."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine")
    folder = Path(tempfile.mkdtemp(prefix="glagol-", dir=MEMORY))
    made = RedisServer(folder)
    made.start()
    yield made
    made.kill()
    shutil.rmtree(folder)


@pytest.fixture
def bench(
    make_bench: Callable[..., Bench], tmp_path: Path, request: pytest.FixtureRequest
) -> Bench:
    """A bench with jobs, and webhooks on; the model says the same words each time."""
    policy = Policy(webhooks=Webhooks(secrets=(SECRET,), allow=("127.0.0.0/8",)))
    settings: dict[str, Any] = {"state": str(tmp_path / "state"), "policy": lambda: policy}
    if getattr(request, "param", "sqlite") == "redis":
        settings["redis_url"] = request.getfixturevalue("server").url
        with redis.Redis(unix_socket_path=settings["redis_url"].removeprefix("unix://")) as client:
            client.flushall()
    made = make_bench(**settings)
    made.stub.texts = (SECRET_WORDS,)
    return made


def traces(bench: Bench) -> list[str]:
    """Files of the state, and keys of Redis, that hold the words as text or as JSON."""
    forms = (SECRET_WORDS.encode(), json.dumps(SECRET_WORDS).strip('"').encode())
    state = Path(bench.service.settings.state)
    found = [
        str(path)
        for path in state.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]
    if url := bench.service.settings.redis_url:
        with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
            for key in client.scan_iter("*"):
                if any(form in client.dump(key) for form in forms) or any(
                    form in str(values(client, key)).encode() for form in forms
                ):
                    found.append(key.decode())
    return found


def values(client: redis.Redis, key: bytes) -> str:
    """What lies at a key, as text; long values are packed in a dump."""
    if client.type(key) == b"string":
        raw = [client.get(key) or b""]
    elif client.type(key) == b"hash":
        raw = list(client.hgetall(key).values())
    else:
        return ""
    return " ".join(str(each, "utf-8", "replace") for each in raw if isinstance(each, bytes))


@pytest.mark.parametrize("bench", ["sqlite", "redis"], indirect=True)
def test_a_removed_job_leaves_no_word(bench: Bench) -> None:
    """Result, deliveries and row; others and their deliveries stay; a second DELETE is 404."""
    one, two = (submit(bench, f"&webhook_url={HOOK}") for _ in range(2))
    until(bench, one.id, "done")
    until(bench, two.id, "done")
    assert traces(bench)
    bench.send("DELETE", f"/v1/jobs/{one.id}")
    assert [body["data"]["job"]["id"] for body in deliveries(bench)] == [two.id]
    assert bench.send("GET", f"/v1/jobs/{two.id}/result").status_code == 200
    answer = bench.send("DELETE", f"/v1/jobs/{two.id}")
    assert (answer.status_code, view(answer).state) == (200, "done")
    for path in (f"/v1/jobs/{two.id}", f"/v1/jobs/{two.id}/result"):
        assert code(bench.send("GET", path)) == "job_unknown"
    assert code(bench.send("DELETE", f"/v1/jobs/{two.id}")) == "job_unknown"
    assert deliveries(bench) == []
    assert bench.send("GET", "/v1/jobs").json()["data"]["jobs"] == []
    assert files(bench) == []
    assert traces(bench) == []


def test_a_failed_job_is_removed_with_its_input(bench: Bench) -> None:
    """Which was kept for a replay; a cancelled one goes with the second DELETE."""
    bench.stub.error = HostError("host_io", "no", "none")
    made = submit(bench)
    end = time.monotonic() + PATIENCE_S
    while bench.jobs.queue.get(made.id).trouble is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert view(bench.send("DELETE", f"/v1/jobs/{made.id}")).state == "cancelled"
    assert view(bench.send("GET", f"/v1/jobs/{made.id}")).state == "cancelled"
    assert view(bench.send("DELETE", f"/v1/jobs/{made.id}")).state == "cancelled"
    assert code(bench.send("GET", f"/v1/jobs/{made.id}")) == "job_unknown"
    assert files(bench) == []


def test_an_order_that_is_no_json_fails_alone(bench: Bench) -> None:
    """The list continues without it, its own route says why, and it can be removed."""
    bench.jobs.queue.put(NewJob(id="bad", kind="transcribe", payload=b"not json"))
    until(bench, submit(bench).id, "done")
    end = time.monotonic() + PATIENCE_S
    while (job := bench.jobs.queue.get("bad")).state != "failed":
        assert time.monotonic() < end
        time.sleep(0.01)
    assert job.attempt == 1, "no newer worker could read it either"
    assert job.trouble is not None
    assert job.trouble.code == "state_damaged"
    listed = bench.send("GET", "/v1/jobs")
    assert (listed.status_code, len(listed.json()["data"]["jobs"])) == (200, 1)
    answer = bench.send("GET", "/v1/jobs/bad")
    assert answer.status_code == CODES["state_damaged"].http_status
    assert code(answer) == "state_damaged"
    bench.send("DELETE", "/v1/jobs/bad")
    assert code(bench.send("GET", "/v1/jobs/bad")) == "job_unknown"
