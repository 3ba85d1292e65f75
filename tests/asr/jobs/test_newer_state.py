"""What a newer release stored is refused by an error that names both versions, and harms no other.

Stored JSON has a `version` from 2 on; a name that this release does not know is refused as well.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import HOOK, PATIENCE_S, SECRET, submit, until
from glagol.asr.jobs.payload import KIND, NOTIFY, Work
from glagol.asr.tus.store import UploadInfo, Uploads
from glagol.core.errors import CODES, GlagolError, HostError, IntegrityError
from glagol.jobs.queue import NewJob
from glagol.jobs.redis.queue import RedisQueue
from glagol.jobs.sqlite.queue import SqliteQueue
from glagol.jobs.webhooks import payload
from glagol.web.access import api_keys, policy
from jobs.redis_server import MEMORY, PROGRAM, RedisServer

BOTH = re.compile(r"(version|schema) 2\b.*this program (reads version|knows schema) 1\b")
NAMED = re.compile(r"version 1, this program reads version 1\b.*'?(colour)|colour.*reads version 1")


def order(**more: Any) -> bytes:
    """A job's order with more in it than this release writes."""
    work = Work(
        model="tiny", language="ru", word_timestamps=True, format="json", audio_sha256="0" * 64,
        size_bytes=1, audio_s=None, webhook_url=HOOK,
    )  # fmt: skip
    return json.dumps({**json.loads(work.encoded()), **more}).encode()


def delivery(**more: Any) -> bytes:
    """The same of a delivery."""
    event = "transcription.completed"
    fields = {"url": HOOK, "job_id": "a", "event": event, "body": "{}", "attempts": 1}
    return json.dumps({**fields, **more}).encode()


@pytest.fixture
def bench(make_bench: Callable[..., Bench], tmp_path: Path) -> Bench:
    """A bench with jobs, and webhooks on."""
    hooks = policy.Webhooks(secrets=(SECRET,), allow=("127.0.0.0/8",))
    rules = policy.Policy(webhooks=hooks)
    return make_bench(state=str(tmp_path / "state"), policy=lambda: rules)


@pytest.mark.parametrize(
    ("parse", "now"),
    [
        (Work.decoded, order),
        (payload.read, delivery),
        (api_keys.parse, lambda **more: json.dumps({"keys": [], **more}).encode()),
        (policy.parse, lambda **more: "".join(f"{k} = {v}\n" for k, v in more.items()).encode()),
    ],
    ids=["order", "delivery", "keys", "policy"],
)
def test_both_versions_are_named(parse: Callable[[bytes], Any], now: Callable[..., bytes]) -> None:
    """Without a version and with the one of today it is read; a newer one or more is not."""
    assert parse(now()) == parse(now(version=1))
    with pytest.raises(GlagolError) as caught:
        parse(now(version=2))
    assert BOTH.search(caught.value.message), caught.value.message
    with pytest.raises(GlagolError) as caught:
        parse(now(colour=3))
    assert NAMED.search(caught.value.message), caught.value.message


def test_a_newer_queue_file_is_left_alone(tmp_path: Path) -> None:
    """It is not opened, and not changed."""
    path = tmp_path / "jobs.sqlite"
    SqliteQueue(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(HostError) as caught:
        SqliteQueue(path)
    assert BOTH.search(caught.value.message), caught.value.message
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_newer_redis_is_left_alone() -> None:
    """No transition runs; with the schema of today every one does."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine")
    folder = Path(tempfile.mkdtemp(prefix="glagol-", dir=MEMORY))  # a socket's path must be short
    server = RedisServer(folder)
    try:
        server.start()
        queue = RedisQueue(server.url)
        with Redis(unix_socket_path=str(server.socket)) as client:
            client.set("{glagol}:schema", 1)
            queue.put(NewJob(id="a", kind="sleep", payload=b"{}"))
            client.set("{glagol}:schema", 2)
            for act in (queue.ping, queue.sweep, lambda: queue.claim("w", ["sleep"], 1.0)):
                with pytest.raises(HostError) as caught:
                    act()
                assert BOTH.search(caught.value.message), caught.value.message
            assert client.hget("{glagol}:job:a", "state") == b"queued"
        queue.close()
    finally:
        server.kill()
        shutil.rmtree(folder)


def test_a_newer_job_fails_with_the_reason_and_the_next_one_is_done(bench: Bench) -> None:
    """Tried again first, as a newer worker may be there; its input stays, so it can be replayed."""
    queue = bench.jobs.queue
    for name, tries in (("once", 1), ("often", 2)):
        queue.put(NewJob(id=name, kind="transcribe", payload=order(version=2), attempts_max=tries))
    end = time.monotonic() + PATIENCE_S
    while queue.get("once").state != "failed" or queue.get("often").trouble is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    why = queue.get("once").trouble
    assert why is not None
    assert why.code == "state_too_new"
    assert BOTH.search(why.message)
    waiting = queue.get("often")
    assert (waiting.state, waiting.attempt) == ("queued", 1)
    answer = bench.send("GET", "/v1/jobs/once")
    assert answer.status_code == CODES["state_too_new"].http_status
    assert BOTH.search(answer.json()["error"]["message"])
    until(bench, submit(bench).id, "done")


@pytest.mark.parametrize(
    ("path", "listed", "kind", "body"),
    [("/v1/jobs", "jobs", KIND, order), ("/v1/deliveries", "deliveries", payload.KIND, delivery)],
)
def test_a_list_leaves_out_what_a_newer_program_stored(
    bench: Bench, path: str, listed: str, kind: str, body: Callable[..., bytes]
) -> None:
    """The rest of the page is there; the newer one's own route says why it cannot be shown."""
    queue = bench.jobs.queue
    for name, version in (("old", 1), ("new", 2)):
        queue.put(NewJob(id=name, kind=kind, payload=body(version=version), delay_s=60.0))
    answer = bench.send("GET", path)
    assert answer.status_code == 200, answer.text
    assert [each["id"] for each in answer.json()["data"][listed]] == ["old"]
    assert bench.send("GET", f"{path}/new").json()["error"]["code"] == "state_too_new"


def test_a_newer_delivery_and_a_follow_up_of_a_newer_job_fail_with_the_reason(bench: Bench) -> None:
    """Nothing is sent, and neither keeps the thread that met it."""
    queue = bench.jobs.queue
    queue.put(NewJob(id="hook", kind="deliver", payload=delivery(colour=1), attempts_max=1))
    queue.put(NewJob(id="dead", kind="sleep", payload=order(version=2), attempts_max=1))
    queue.put(NewJob(id="follow-up", kind=NOTIFY, payload=b"dead", attempts_max=1))
    end = time.monotonic() + PATIENCE_S
    for name in ("hook", "follow-up"):
        while (found := queue.get(name)).state != "failed":
            assert time.monotonic() < end, found
            time.sleep(0.01)
        assert found.trouble is not None
        assert found.trouble.code == "state_too_new"
    assert len(queue.page(kind="deliver")) == 1


def test_a_newer_upload_is_refused_and_others_continue(tmp_path: Path) -> None:
    """It is neither read nor forgotten, and does not keep others from beginning."""
    uploads = Uploads(tmp_path, 1 << 20, lambda: 1 << 20)
    old, new = uploads.create(UploadInfo(3)), uploads.create(UploadInfo(3))
    for more in ({"version": 2}, {"colour": 1}):
        (tmp_path / f"{new}.json").write_text(json.dumps({"length": 3, **more}))
        for act in (lambda: uploads.look(new, ""), lambda: uploads.finished(new, "")):
            with pytest.raises(IntegrityError) as caught:
                act()
            assert (BOTH if "version" in more else NAMED).search(caught.value.message)
    assert uploads.look(old, "")[0] == UploadInfo(3)
    third = uploads.create(UploadInfo(1))
    uploads.sweep()
    assert {path.name for path in tmp_path.glob("*.json")} == {
        f"{u}.json" for u in (old, new, third)
    }
    with uploads.writer(old, "", 0) as writer:
        writer.write(sounds.clip()[:3])
    assert uploads.finished(old, "").size_bytes == 3


def test_what_is_no_json_is_still_no_upload(tmp_path: Path) -> None:
    """A note that a crash broke is not taken for a newer one."""
    uploads = Uploads(tmp_path, 1 << 20, lambda: 1 << 20)
    name = uploads.create(UploadInfo(3))
    (tmp_path / f"{name}.json").write_text('{"length": 3')
    with pytest.raises(GlagolError) as caught:
        uploads.look(name, "")
    assert caught.value.code == "upload_unknown"
