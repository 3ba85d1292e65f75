"""What release 0.1 left is read on: its jobs, results, upload, keys, deliveries, audit log."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from asr.old_state import KEPT, Old, copied
from asr.process import PATIENCE_S, start
from glagol.web import audit_log
from jobs.redis_server import MEMORY, PROGRAM, RedisServer
from jobs.webhooks.receiver import Receiver, receiver

FORMAT = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Where the delivery that is due goes."""
    with receiver() as running:
        yield running


def test_a_state_with_a_queue_file_is_read_on(home: Path, tmp_path: Path, hook: Receiver) -> None:
    """The file's jobs, one of them in the hands of a worker that died."""
    old = copied("sqlite", tmp_path, hook.port)
    _read_on(old, home, tmp_path, hook)


@pytest.mark.slow
def test_a_state_with_redis_is_read_on(home: Path, tmp_path: Path, hook: Receiver) -> None:
    """The same, with the queue in Redis."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine")
    old = copied("redis", tmp_path, hook.port)
    folder = Path(tempfile.mkdtemp(prefix="glagol-", dir=MEMORY))  # a socket's path must be short
    server = RedisServer(folder)
    try:
        server.start()
        old.fill(server.url)
        _read_on(old, home, tmp_path, hook, ASR_REDIS_URL=server.url)
    finally:
        server.kill()
        shutil.rmtree(folder)


def _read_on(old: Old, home: Path, folder: Path, hook: Receiver, **settings: Any) -> None:
    log = old.state / "audit.log"
    before = log.read_bytes()
    server = start(home, folder / "scratch", ASR_STATE=str(old.state), **settings)
    with server.client() as client:
        assert client.get("/v1/jobs").status_code == 401
        client.headers["authorization"] = f"Bearer {old.made['key']}"
        _jobs_end(client, old.made)
        _results_are_there(client, old.made)
        _upload_continues(client, old.made)
    _delivery_arrives(hook, old)
    server.kill()  # everything asked for was promised to survive that
    assert not server.lines("unexpected exception")
    assert log.read_bytes().startswith(before)
    report = audit_log.verify(log)
    assert (report.fault, report.lines - before.count(b"\n")) == ("", 6)
    assert {line.get("owner") for line in audit_log.lines(log)} == {"anna"}


def _jobs_end(client: httpx.Client, made: dict[str, Any]) -> None:
    """The claimed ones at a second attempt, those that waited; all with the right words."""
    wanted = dict.fromkeys(made["claimed"], made["long"]) | dict.fromkeys(
        made["queued"], made["text"]
    )
    for job, text in wanted.items():
        found = _until(client, f"/v1/jobs/{job}", lambda job: job["state"] == "done")
        assert found["attempt"] == (2 if job in made["claimed"] else 1)
        result = client.get(f"/v1/jobs/{job}/result", params={"format": "json"}).json()["data"]
        assert result["text"] == text
    split, plain = (client.get(f"/v1/jobs/{job}/result") for job in made["queued"])
    assert split.json()["data"]["segments"][0]["channel"] == 0
    assert plain.headers["content-type"].startswith("application/x-subrip")
    assert made["text"] in plain.text


def _results_are_there(client: httpx.Client, made: dict[str, Any]) -> None:
    """The stored result; the list; the failed job with its reason, which can be done now."""
    assert client.get(f"/v1/jobs/{made['done']}/result").json()["data"] == made["result"]
    jobs = client.get("/v1/jobs").json()["data"]["jobs"]
    age = [*reversed([*made["claimed"], *made["queued"]]), made["failed"], made["done"]]
    assert [job["id"] for job in jobs] == age
    failed = client.get(f"/v1/jobs/{made['failed']}").json()["data"]
    assert (failed["state"], failed["error"]["code"]) == ("failed", "audio_not_finite")
    assert client.post(f"/v1/jobs/{made['failed']}/replay").status_code == 202
    replayed = _until(client, f"/v1/jobs/{made['failed']}", lambda job: job["state"] != "queued")
    _until(client, f"/v1/jobs/{replayed['id']}", lambda job: job["state"] == "done")


def _upload_continues(client: httpx.Client, made: dict[str, Any]) -> None:
    """From where it broke off to a transcript."""
    path, offset = made["upload"]["path"], made["upload"]["offset"]
    seen = client.head(path, headers=FORMAT)
    assert int(seen.headers["upload-offset"]) == offset
    rest = (KEPT / "upload.flac").read_bytes()[offset:]
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    sent = client.patch(path, headers={**FORMAT, **kind}, content=rest)
    assert sent.status_code == 204
    answer = client.put("/v1/transcribe", params={"upload": path.rpartition("/")[2]})
    assert answer.json()["data"]["text"] == made["text"]


def _delivery_arrives(hook: Receiver, old: Old) -> None:
    """The very one that its receiver refused, with a signature that holds."""
    request = hook.wait(1)[0]
    assert request.headers["webhook-id"] == old.made["delivery"]
    body = Webhook(old.secret).verify(request.body, request.headers)
    assert body["data"]["job"] == {"id": old.made["done"], "state": "done"}
    assert body["data"]["result"] == old.made["result"]


def _until(client: httpx.Client, path: str, holds: Callable[[dict[str, Any]], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not holds(found := client.get(path).json()["data"]):
        assert time.monotonic() < end, json.dumps(found)
        time.sleep(0.05)
    return found
