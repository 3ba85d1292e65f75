"""vLLM's process is started, watched, started again and ended, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glagol.cli.main import main as glagol
from glagol.llm.server import main as server_main
from llm.proxy.test_forward import CHAT, chat, code
from llm.running import Running, alive

Make = Callable[..., Running]


def pids(folder: Path) -> list[int]:
    """The stub's process and the orphan that it made, of every start so far."""
    return [int(pid) for pid in (folder / "pids").read_text().split()]


@pytest.mark.slow
def test_death_in_mid_request(llm_home: Path, tmp_path: Path, make_server: Make) -> None:
    """kill -9: a clear 503, a last event in a stream, and then it serves again."""
    server = make_server(llm_home)
    assert server.ready()["starts"] == 1
    with server.client() as client:
        first = pids(tmp_path)
        dead = client.post(CHAT, json=chat("die"))
        assert code(dead) == "llm_unavailable"
        assert int(dead.headers["retry-after"]) >= 1
        server.until(lambda: client.get("/ready").status_code == 503)
        assert server.ready()["starts"] == 2
        assert not any(alive(pid) for pid in first)
        streamed = client.post(CHAT, json=chat("die 9", stream=True))
        *events, last = streamed.content.rstrip(b"\n").split(b"\n\n")
        assert len(events) == 2
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert (error["code"], error["type"]) == ("llm_unavailable", "server_error")
        assert b"[DONE]" not in streamed.content
        server.until(lambda: client.get("/ready").status_code == 503)
        assert server.ready()["starts"] == 3
        assert client.post(CHAT, json=chat("echo")).status_code == 200


@pytest.mark.slow
def test_keys_then_stop(llm_home: Path, tmp_path: Path, make_server: Make) -> None:
    """Keys close OpenAI's routes in their shape; SIGTERM then leaves no process and no file."""
    server = make_server(llm_home)
    server.ready()
    with server.client() as client:
        sent = client.build_request("POST", CHAT, json=chat("slow 150", stream=True))
        answer = client.send(sent, stream=True)
        chunks = answer.iter_raw()
        next(chunks)
        with_keys(server, tmp_path / "state")
        server.process.send_signal(signal.SIGTERM)
        assert b"".join(chunks).endswith(b"data: [DONE]\n\n"), "a request under way was cut"
    assert server.stop() == 0
    assert not any(alive(pid) for pid in pids(tmp_path))
    assert not server.left
    assert server.lines("stopped")


def with_keys(server: Running, state: Path) -> None:
    """Without a key 401, with one of another scope 403, with llm served."""
    texts = {scope: _key(state, scope) for scope in ("llm", "jobs")}
    with server.client() as client:
        server.until(lambda: client.post(CHAT, json=chat("echo")).status_code == 401)
        assert code(client.post(CHAT, json=chat("echo"))) == "key_missing"
        assert client.get("/ready").status_code == 200
    with server.client(Authorization=f"Bearer {texts['jobs']}") as client:
        assert code(client.post(CHAT, json=chat("echo"))) == "forbidden"
    with server.client(Authorization=f"Bearer {texts['llm']}") as client:
        assert client.post(CHAT, json=chat("echo")).status_code == 200


def _key(state: Path, scope: str) -> str:
    """Add a key with the command that operators use; its text."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_sources())}
    command = ["-m", "glagol.cli", "keys", "--state", str(state), "add", scope, "--scope", scope]
    run = subprocess.run(
        [sys.executable, *command],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return next(word for word in run.stdout.split() if word.startswith("glagol_"))


def _sources() -> list[str]:
    return [str(p) for p in (Path(__file__).resolve().parents[3] / "packages").glob("*/src")]


@pytest.mark.slow
def test_kills_leave_no_process(llm_home: Path, tmp_path: Path, make_server: Make) -> None:
    """kill -9 of the subreaper ends vLLM, which is started again; of the server, everything.

    Even what has left its process group ends with the server; only the subreaper could know that.
    """
    server = make_server(llm_home)
    server.ready()
    vllm, orphan = pids(tmp_path)
    subreaper = int(Path(f"/proc/{vllm}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(subreaper, signal.SIGKILL)
    server.until(lambda: not alive(vllm))
    server.until(lambda: len(pids(tmp_path)) == 4)
    os.kill(orphan, signal.SIGKILL)
    assert server.ready()["starts"] == 2
    server.process.kill()
    server.until(lambda: not any(alive(pid) for pid in pids(tmp_path)))
    server.until(lambda: not list(server.scratch.iterdir()))


def test_wrong_settings_end_the_start(llm_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit status by the table, and one line that says what is wrong."""
    cases = [
        ({"LLM_PORT": "x"}, 2, "LLM_PORT='x' is not a whole number 1..65535"),
        ({"LLM_MEMORY": "1.5"}, 2, "LLM_MEMORY='1.5' is not a share 0.01..0.98"),
        ({"LLM_MODEL_NAME": "gigaam-nano", "LLM_DEVICE": "cpu"}, 2, "has the engine gigaam"),
        ({"LLM_MODEL_NAME": "none"}, 2, "no model is called 'none'"),
    ]
    for settings, status, words in cases:
        assert server_main({"GLAGOL_HOME": str(llm_home), **settings}) == status
        line = json.loads(capfd.readouterr().err.splitlines()[-1])
        assert words in line["message"]
        assert line["remedy"]
    assert glagol(["serve-llm", "--port", "x", "--home", str(llm_home)]) == 2
