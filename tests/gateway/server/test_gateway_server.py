"""gateway-server in front of a recogniser in another process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from asr.process import PATIENCE_S, Server, environment
from gateway.serving import code, data, free_port, settled

HTML = {"accept": "text/html"}


@dataclass
class Running:
    """A gateway-server and its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self) -> httpx.Client:
        """A client without any proxy of the environment."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


def start(home: Path, folder: Path, **settings: str) -> Running:
    """Start gateway-server; returns when it answers."""
    port, log = free_port(), folder / "log"
    own = {"GATEWAY_STATE": str(folder / "state"), "GATEWAY_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "glagol.gateway"],
        env=environment(home, HOME=str(folder), **own, **settings),
        stderr=log.open("wb"),
    )
    running = Running(process, f"http://127.0.0.1:{port}", log)
    until = time.monotonic() + PATIENCE_S
    with running.client() as client:
        while process.poll() is None and time.monotonic() < until:
            try:
                if client.get("/health").is_success:
                    return running
            except httpx.TransportError:
                time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def running(
    home: Path, serving: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One in front of the session's recogniser; llm-server is named and away."""
    folder = tmp_path_factory.mktemp("gateway")
    urls = {"GATEWAY_ASR_URL": serving.url, "GATEWAY_LLM_URL": "http://127.0.0.1:9"}
    server = start(home, folder, **urls)
    yield server
    assert server.stop() == 0, server.log.read_text()


def test_routes_of_services_pass_through(running: Running, serving: Server) -> None:
    """Bodies, statuses and errors are the service's own; one that is away has a code."""
    clip = (serving.home / "models/gigaam-nano/golden/clip.flac").read_bytes()
    with running.client() as client, serving.client() as direct:
        path = "/v1/transcribe?format=srt"
        assert client.put(path, content=clip).content == direct.put(path, content=clip).content
        assert client.get("/v1/models").json() == direct.get("/v1/models").json()
        assert code(client.put("/v1/transcribe", content=b"x")) == "audio_unreadable"
        away = client.post("/v1/summarize", json={"text": "да"})
        assert (away.status_code, code(away)) == (503, "upstream_unreachable")
        assert int(away.headers["retry-after"]) > 0
        foreign = client.get("/v1/models", headers={"host": "evil.example"})
        assert foreign.status_code == 421


def test_events_of_a_job_are_streamed_as_they_come(running: Running, serving: Server) -> None:
    """Server-sent events are not gathered, and end with the job."""
    clip = (serving.home / "models/gigaam-nano/golden/clip.flac").read_bytes()
    with running.client() as client:
        job = data(client.put("/v1/transcribe?async=true", content=clip))["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            text = "".join(stream.iter_text())
        assert '"state":"done"' in text


def test_a_live_stream_passes_through(running: Running) -> None:
    """WebSocket messages both ways, and the close of the service."""
    address = running.url.replace("http", "ws", 1) + "/v1/stream"
    with connect(address, proxy=None) as socket:
        socket.send(json.dumps({"type": "start", "rate": 16000}))
        socket.send(bytes(32_000))
        socket.send(json.dumps({"type": "finish"}))
        kinds = [json.loads(message)["type"] for message in socket]
    assert "done" in kinds, kinds


def test_the_library_works_in_front_of_another_process(running: Running, serving: Server) -> None:
    """A recording goes to the recogniser over HTTP, and its job is forgotten there."""
    clip = (serving.home / "models/gigaam-nano/golden/clip.flac").read_bytes()
    with running.client() as client, serving.client() as direct:
        made = data(client.put("/ui/recordings", params={"title": "a"}, content=clip))
        done = settled(client, made["id"])
        assert done["state"] == "done", done
        assert done["audio_sha256"] == hashlib.sha256(clip).hexdigest()
        source = data(client.get(f"/ui/recordings/{made['id']}/source"))
        job = source["machine"][0]["job"]
        until = time.monotonic() + PATIENCE_S
        while direct.get(f"/v1/jobs/{job}").is_success and time.monotonic() < until:
            time.sleep(0.05)
        assert code(direct.get(f"/v1/jobs/{job}")) == "job_unknown"


def test_readiness_says_how_each_service_is(running: Running) -> None:
    """The pages are ready while a service is away, and the table says which."""
    with running.client() as client:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            services = data(client.get("/ready"))["services"]
            if services["asr"]["ready"] and services["llm"]["trouble"] == "upstream_unreachable":
                break
            time.sleep(0.1)
        assert services["asr"]["model"] == "gigaam-nano"
        assert (services["llm"]["there"], services["llm"]["ready"]) == (True, False)
        assert not services["rag"]["there"]
        assert b"gateway_requests_total" in client.get("/metrics").content
        assert client.get("/", headers=HTML).status_code == 200
