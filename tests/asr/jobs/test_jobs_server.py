"""Jobs in real processes: killed servers, workers, a Redis that comes and goes, a full disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

import sounds
from asr.process import PATIENCE_S, Server, environment, start, start_worker
from glagol.asr import worker as worker_process
from glagol.cli.main import main as glagol
from glagol.core.errors import CODES, HostError
from glagol.web import envelope
from jobs.redis_server import PROGRAM, RedisServer

URL = "/v1/transcribe"
LATER = f"{URL}?async=true"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis that is not started yet."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server on this machine")
    directory = Path(tempfile.mkdtemp(prefix="glagol-redis-"))  # a socket's path must be short
    server = RedisServer(directory)
    yield server
    server.kill()
    shutil.rmtree(directory)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose leases are short."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "policy.toml").write_text("[jobs]\nlease_s = 2\n")
    return folder


def code(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["code"]
    assert answer.status_code == CODES[found].http_status
    return found


def submit(client: httpx.Client, audio: bytes) -> str:
    answer = client.put(LATER, content=audio)
    assert answer.status_code == 202, answer.text
    return urljoin(answer.url.path, answer.headers["location"])


def until(client: httpx.Client, path: str, holds: Callable[[dict[str, object]], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = client.get(path)
        if answer.status_code == 200 and holds(answer.json()["data"]):
            return
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)


def done(job: dict[str, object]) -> bool:
    assert job["state"] in ("queued", "running", "done"), job
    return job["state"] == "done"


def begun(job: dict[str, object]) -> bool:
    return job["state"] == "running" and job["progress"]["done_s"] > 0  # type: ignore[index]


def test_sync_job_and_cli_say_the_same(
    server: Server, home: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Byte for byte, in json, for short audio and for audio that goes through voice detection."""
    with server.client() as client:
        for name, audio in (("short", sounds.clip()), ("long", sounds.long_speech(35))):
            path = submit(client, audio)
            until(client, path, done)
            job = client.get(f"{path}/result?format=json")
            assert job.content == client.put(URL, content=audio).content
            file = tmp_path / f"{name}.wav"
            file.write_bytes(audio)
            assert glagol(["transcribe", "--format", "json", "--home", str(home), str(file)]) == 0
            printed = capfdbinary.readouterr().out.rstrip(b"\n")
            assert envelope.success(printed) == job.content
    line = next(line for line in server.lines("job") if path.endswith(line["job_id"]))
    assert (line["outcome"], line["model"]) == ("done", "gigaam-nano")
    assert line["manifest_version"] == line["provenance"]["manifest_version"]


def test_a_stream_of_events_ends_when_its_reader_leaves(server: Server) -> None:
    """The server notices, though nothing changes; the job runs until it is cancelled."""
    audio = sounds.long_speech(1200)
    with server.client() as client:
        path = submit(client, audio)
        headers = {"X-Request-ID": "reader"}
        with client.stream("GET", f"{path}/events", headers=headers) as events:
            assert any(line.startswith("event: ") for line in events.iter_lines())
        assert server.request("reader")["status"] == 200
        assert client.get(path).json()["data"]["state"] in ("queued", "running")
        assert client.delete(path).status_code in (200, 202)
        until(client, path, lambda job: job["state"] == "cancelled")


@pytest.mark.slow
def test_a_killed_server_finishes_its_job_when_it_is_back(
    home: Path, state: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a job and of another upload: the one ends, the other leaves none."""
    first = start(home, tmp_path / "first", ASR_STATE=str(state))
    audio = sounds.long_speech(400)
    with first.client() as client:
        path = submit(client, audio)
        until(client, path, begun)
        place = urlsplit(first.url)
        with socket.create_connection((place.hostname, place.port or 0)) as raw:
            head = f"PUT {LATER} HTTP/1.1\r\nHost: [::1]\r\nContent-Length: {len(audio)}\r\n\r\n"
            raw.sendall(head.encode() + audio[: len(audio) // 2])
            first.kill()
    assert [file.name for file in (state / "spool").iterdir()] == [path.rpartition("/")[2]]
    second = start(home, tmp_path / "second", ASR_STATE=str(state))
    with second.client() as client:
        until(client, path, done)
        job = client.get(path).json()["data"]
        assert (job["attempt"], len(client.get("/v1/jobs").json()["data"]["jobs"])) == (2, 1)
        data = client.get(f"{path}/result").json()["data"]
        assert data["duration"] == pytest.approx(job["progress"]["total_s"])
    assert second.stop() == 0
    assert not list((state / "spool").iterdir())


@pytest.mark.slow
def test_workers_share_the_queue_and_one_may_die(
    home: Path, state: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Six jobs, a server and two workers on one Redis, one worker killed: every job is done."""
    redis_server.start()
    shared: dict[str, Any] = {"ASR_STATE": str(state), "ASR_REDIS_URL": redis_server.url}
    server = start(home, tmp_path / "server", **shared)
    workers = [start_worker(home, tmp_path / f"worker-{n}", **shared) for n in range(2)]
    audio = sounds.long_speech(60)
    with server.client() as client:
        paths = [submit(client, sounds.long_speech(600))]  # still runs when the others are there
        paths += [submit(client, audio) for _ in range(5)]
        until(client, paths[0], begun)
        workers[0].kill()
        for path in paths:
            until(client, path, done)
        results = {client.get(f"{path}/result").content for path in paths[1:]}
        assert len(results) == 1
    assert server.stop() == 0
    assert workers[1].stop() == 0
    outcomes = [
        (line["job_id"], line["outcome"])
        for process in (server, *workers)
        for line in process.lines("job")
    ]
    assert len([job for job, outcome in outcomes if outcome == "done"]) >= len(paths) - 1
    assert workers[1].lines("stopped")
    assert not list((state / "spool").iterdir())


@pytest.mark.slow
def test_redis_may_be_away_at_the_start_and_later(
    home: Path, state: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Synchronous requests are served all the time; what was accepted is done in the end."""
    shared: dict[str, Any] = {"ASR_STATE": str(state), "ASR_REDIS_URL": redis_server.url}
    server = start(home, tmp_path / "server", **shared)
    audio = sounds.long_speech(300)
    with server.client() as client:
        for answer in (client.put(LATER, content=sounds.clip()), client.get("/v1/jobs")):
            assert code(answer) == "queue_unreachable"
            assert int(answer.headers["retry-after"]) >= 1
        assert client.put(URL, content=sounds.clip()).status_code == 200
        redis_server.start()
        path = submit(client, audio)
        until(client, path, begun)
        redis_server.kill()
        assert code(client.get(path)) == "queue_unreachable"
        assert client.put(URL, content=sounds.clip()).status_code == 200
        redis_server.start()
        until(client, path, done)
        assert client.get(f"{path}/result").status_code == 200
    assert server.stop() == 0
    assert not list((state / "spool").iterdir())


@pytest.mark.slow
def test_a_worker_beside_a_server_without_redis(home: Path, state: Path, tmp_path: Path) -> None:
    """One ASR_STATE is enough on one machine; SIGTERM ends it cleanly, and `check` tells."""
    shared: dict[str, Any] = {"ASR_STATE": str(state)}
    with pytest.raises(HostError, match="no worker"):
        worker_process.check(environment(home, **shared))
    worker = start_worker(home, tmp_path / "worker", **shared)
    end = time.monotonic() + PATIENCE_S
    while not list(state.glob("workers/*")):
        assert time.monotonic() < end, worker.log.read_text()
        time.sleep(0.05)
    worker_process.check(environment(home, **shared))
    assert worker.stop() == 0
    assert not list(state.glob("workers/*"))
    assert worker.lines("stopped")


def test_a_full_disk_is_reported_and_survived(home: Path, tmp_path: Path) -> None:
    """On a small memory disk: refused by its length, and on the way; small ones are served."""
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(state)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no memory disk can be mounted here: this user may not mount")
    try:
        server = start(home, tmp_path / "server", ASR_STATE=str(state))
        with server.client() as client:
            assert code(client.put(LATER, content=bytes(64 << 20))) == "disk_full"
            assert code(client.put(LATER, content=_pieces(64))) == "disk_full"
            path = submit(client, sounds.clip())
            until(client, path, done)
        assert server.stop() == 0
        assert not list((state / "spool").iterdir())
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_without_a_place_for_jobs_the_server_serves(home: Path, tmp_path: Path) -> None:
    """ASR_STATE cannot be made: a warning at start, 503 with the reason, the rest works."""
    (tmp_path / "file").touch()
    server = start(home, tmp_path / "server", ASR_STATE=str(tmp_path / "file" / "state"))
    with server.client() as client:
        assert client.put(URL, content=sounds.clip()).status_code == 200
        answer = client.put(LATER, content=sounds.clip())
        assert code(answer) == "queue_unreachable"
        assert "ASR_STATE" in answer.json()["error"]["remedy"]
    assert server.lines("no jobs")
    assert server.stop() == 0


def _pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(1 << 20)
