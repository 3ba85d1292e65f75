"""Keys on a real server, over a socket: turned on while it runs, as its clients see them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import sounds
from asr.process import Server, start
from glagol.asr.server import main as asr_main
from glagol.cli.main import main as glagol
from glagol.llm.server import main as llm_main
from homes import make_home

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server that is open to all callers, with a state directory of its own."""
    settings: dict[str, Any] = {"ASR_STATE": str(folder / "state"), "ASR_HOST": "127.0.0.1"}
    running = start(make_home(folder / "home"), folder / "scratch", **settings)
    yield running
    assert running.stop() == 0


def add(folder: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """A new key's text, once the server knows it."""
    capfd.readouterr()
    assert glagol(["keys", "--state", str(folder / "state"), "add", *arguments]) == 0
    return capfd.readouterr().out.strip()


def until(client: httpx.Client, status: int, path: str = "/v1/models", key: str = "") -> None:
    """Wait for the server to look at the file again."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    end = time.monotonic() + PATIENCE_S
    while client.get(path, headers=headers).status_code != status:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_keys_come_and_go_while_it_runs(
    server: Server, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Open, then closed, then open to the key alone, in our shape and in OpenAI's."""
    with server.client() as client:
        assert client.get("/v1/models").status_code == 200
        key = add(folder, capfd, "alice")
        until(client, 401)
        until(client, 200, key=key)
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 200
        assert client.get("/metrics").status_code == 401, "a proxy here looks like this machine"
        assert client.get("/v1/%6aobs").status_code == 401

        alice_client = openai.OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0)
        transcript = alice_client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", sounds.clip())
        )
        assert transcript.text
        stranger = openai.OpenAI(api_key="glagol_no", base_url=f"{server.url}/v1", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.audio.transcriptions.create(model="whisper-1", file=("a.wav", sounds.clip()))

        assert glagol(["keys", "--state", str(folder / "state"), "revoke", "alice"]) == 0
        until(client, 401, key=key)
    named = [line for line in server.lines("request") if line.get("key") == "alice"]
    assert any(line["path"] == "/v1/audio/transcriptions" for line in named)
    assert key not in server.log.read_text()


@pytest.mark.parametrize("program", ["asr", "llm"])
@pytest.mark.parametrize("case", ["gone", "dangling", "required", "nowhere"])
def test_a_server_does_not_start_without_its_keys(
    program: str, case: str, server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It ends with 2 before it listens, and says what is missing and what to do."""
    main, prefix = (asr_main, "ASR_") if program == "asr" else (llm_main, "LLM_")
    settings = {"GLAGOL_HOME": str(server.home), f"{prefix}HOST": "192.0.2.1"}
    state = tmp_path / "state"
    if case == "gone":
        assert glagol(["keys", "--state", str(state), "add", "alice"]) == 0
        (state / "keys.json").unlink()
    if case == "dangling":
        state.mkdir()
        (state / "keys.json").symlink_to("/nonexistent/keys.json")
    if case != "nowhere":
        settings[f"{prefix}STATE"] = str(state)
    if case in {"required", "nowhere"}:
        settings[f"{prefix}KEYS"] = "required"
    capfd.readouterr()
    assert main(settings) == 2
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (line["event"], line["code"]) == ("cannot start", "setting_invalid")
    assert "keys" in line["message"]


def test_a_large_body_without_a_key_is_refused_before_it_is_sent(
    server: Server, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The answer comes while most of the body has not left the client."""
    import socket

    add(folder, capfd, "bob")
    with server.client() as client:
        until(client, 401)
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as line:
        head = f"PUT /v1/transcribe HTTP/1.1\r\nHost: {host}\r\nContent-Length: 999999999\r\n\r\n"
        line.sendall(head.encode() + b"RIFF")
        assert line.recv(4096).startswith(b"HTTP/1.1 401")


def test_a_stream_needs_a_key_too(
    server: Server, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The handshake of a WebSocket fails without one."""
    key = add(folder, capfd, "erin")
    with server.client() as client:
        until(client, 401)  # before, a key would be any text
        until(client, 200, key=key)
    url = server.url.replace("http://", "ws://") + "/v1/stream"
    with pytest.raises(InvalidStatus) as caught, connect(url, proxy=None):
        pass
    assert caught.value.response.status_code == 403
    with connect(url, proxy=None, additional_headers={"authorization": f"Bearer {key}"}):
        pass


def test_a_revoked_key_ends_its_streams(
    server: Server, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Live by a message and a code, events by an event; the streams of another key continue."""
    keys = {name: add(folder, capfd, name) for name in ("gone", "stays")}
    headers = {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
    url = server.url.replace("http://", "ws://") + "/v1/stream"
    with server.client() as client, ExitStack() as stack:
        for key in keys.values():
            until(client, 200, key=key)
        audio = sounds.long_speech(1200)
        events, streams = {}, {}
        for name, own in headers.items():
            made = client.put("/v1/transcribe?async=true", content=audio, headers=own)
            assert made.status_code == 202, made.text
            path = f"/v1/jobs/{made.json()['data']['id']}"
            stack.callback(client.delete, path, headers=own)
            answer = stack.enter_context(client.stream("GET", f"{path}/events", headers=own))
            events[name] = answer.iter_lines()
            assert "retry" in next(events[name])
            streams[name] = stack.enter_context(
                connect(url, proxy=None, additional_headers=own, close_timeout=PATIENCE_S)
            )
            streams[name].send(b"\0" * 3200)
            assert json.loads(streams[name].recv(PATIENCE_S))["type"] == "ready"
        assert glagol(["keys", "--state", str(folder / "state"), "revoke", "gone"]) == 0
        assert json.loads(streams["gone"].recv(PATIENCE_S))["error"]["code"] == "key_refused"
        with pytest.raises(ConnectionClosed):
            streams["gone"].recv(PATIENCE_S)
        assert streams["gone"].close_code == 4401
        data_lines = [line for line in events["gone"] if line.startswith("data: ")]
        assert json.loads(data_lines[-1].removeprefix("data: "))["code"] == "key_refused"
        streams["stays"].send('{"type": "finish"}')
        assert json.loads(streams["stays"].recv(PATIENCE_S))["type"] == "done"
        assert "data: " in "".join(next(events["stays"]) for _ in range(4))
        admin = add(folder, capfd, "after", "--scope", "admin")
        until(client, 200, key=admin)
        for job in client.get("/v1/jobs", headers={"authorization": f"Bearer {admin}"}).json()[
            "data"
        ]["jobs"]:
            client.delete(job["links"]["self"], headers={"authorization": f"Bearer {admin}"})


def test_jobs_belong_to_keys(
    server: Server, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One key's job is unknown to another one, and known to an administrator."""
    keys = {name: add(folder, capfd, name) for name in ("carol", "dave")}
    keys["root"] = add(folder, capfd, "root", "--scope", "admin")
    with server.client() as client:
        until(client, 401)  # before, a key would be any text
        until(client, 200, key=keys["root"])
        answer = client.put(
            "/v1/transcribe?async=true",
            content=sounds.clip(),
            headers={"authorization": f"Bearer {keys['carol']}"},
        )
        assert answer.status_code == 202, answer.text
        job = answer.json()["data"]["id"]
        seen = {
            name: client.get(
                f"/v1/jobs/{job}", headers={"authorization": f"Bearer {key}"}
            ).status_code
            for name, key in keys.items()
        }
    assert seen == {"carol": 200, "dave": 404, "root": 200}
