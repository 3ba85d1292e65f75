"""`glagol serve` in a process of its own, with the embedded model."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from asr.process import PATIENCE_S, Server, environment


def serve(home: Path, folder: Path, *, wait: bool = True, **settings: str) -> Server:
    """Start it; returns when the model is ready, without `wait` when it answers.

    The same folder again is the same library.
    """
    port = free_port()
    own, scratch, log = (folder / name for name in ("own", "scratch", f"log-{port}"))
    for each in (own, scratch):
        each.mkdir(parents=True, exist_ok=True)
    state = folder / "state"
    process = subprocess.Popen(
        [sys.executable, "-m", "glagol.cli", "serve"],
        env=environment(
            home,
            TMPDIR=str(scratch),
            HOME=str(own),
            ASR_STATE=str(state),
            ASR_PORT=str(port),
            **settings,
        ),
        stderr=log.open("wb"),
    )
    url = f"http://127.0.0.1:{port}"
    server = Server(process, url, log, scratch, own, home, state)
    until = time.monotonic() + PATIENCE_S
    with server.client() as client:
        while process.poll() is None and time.monotonic() < until:
            try:
                if client.get("/ready" if wait else "/health").status_code == httpx.codes.OK:
                    return server
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def data(answer: httpx.Response) -> Any:
    """The data of a successful answer."""
    assert answer.is_success, answer.text
    return answer.json()["data"]


def code(answer: httpx.Response) -> str:
    """The code of a failed answer."""
    return str(answer.json()["error"]["code"])


def settled(client: httpx.Client, identity: str) -> dict[str, Any]:
    """A recording once it is neither queued nor running."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found: dict[str, Any] = data(client.get(f"/ui/recordings/{identity}"))
        if found["state"] in {"done", "failed"}:
            return found
        time.sleep(0.05)
    raise AssertionError("the recording is not transcribed")
