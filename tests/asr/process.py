"""A real server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
PATIENCE_S = 100.0


@dataclass
class Server:
    """A running server, its log and its own TMPDIR (`scratch`), HOME (`own`) and ASR_STATE."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    scratch: Path
    own: Path
    home: Path
    state: Path

    def client(self) -> httpx.Client:
        """A client without any proxy of the environment."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        whole = self.log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> None:
        """Until the log has `count` lines of `event`."""
        until = time.monotonic() + PATIENCE_S
        while len(self.lines(event)) < count:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.01)

    def request(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, which is written after its answer."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for line in self.lines("request"):
                if line["request_id"] == request_id:
                    return line
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def peak_rss_bytes(self) -> int:
        """The most memory that the process ever had resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The variables of a child process that works on `home` alone."""
    ours = ("ASR_", "GLAGOL_", "ORT_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    sources = os.pathsep.join(str(p) for p in sorted(PACKAGES.glob("*/src")))
    return {**kept, "PYTHONPATH": sources, "GLAGOL_HOME": str(home), **settings}


def start(home: Path, scratch: Path, *, wait: bool = True, **settings: str) -> Server:
    """Start a server on a free port; returns when it is ready (or, without `wait`, alive)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = _spawn("glagol.asr", home, scratch, ASR_PORT=str(port), **settings)
    server.url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + PATIENCE_S
    with server.client() as client:
        while server.process.poll() is None and time.monotonic() < until:
            try:
                if client.get("/ready" if wait else "/health").status_code == 200:
                    return server
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    server.process.kill()
    raise AssertionError(server.log.read_text())


def start_worker(home: Path, scratch: Path, **settings: str) -> Server:
    """Start a worker, which has no address; returns when its model is ready."""
    worker = _spawn("glagol.asr.worker", home, scratch, **settings)
    worker.wait_for("model ready")
    return worker


def _spawn(module: str, home: Path, scratch: Path, **settings: str) -> Server:
    own = scratch.with_name(f"{scratch.name}-home")
    state = Path(settings.setdefault("ASR_STATE", str(scratch.with_name(f"{scratch.name}-state"))))
    scratch.mkdir()
    own.mkdir()
    log = scratch.parent / f"{scratch.name}.log"
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env=environment(home, TMPDIR=str(scratch), HOME=str(own), **settings),
        stderr=log.open("wb"),
    )
    return Server(process, "", log, scratch, own, home, state)
