"""A real llm-server in a process of its own, over the stub or over the real vLLM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
ANSWER = '{"answer":"да"}'
_RAM = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
# the real vLLM on a CPU takes a share of the whole memory: 3 GiB
VLLM = {"LLM_MEMORY": f"{(3 << 30) / _RAM:.3f}", "LLM_MAX_CONCURRENT": "4"}


@dataclass
class Running:
    """A server, its log, its TMPDIR, how many seconds anything may take, what it left behind."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    scratch: Path
    patience_s: float
    left: list[str] = field(default_factory=list)

    def client(self, **headers: str) -> httpx.Client:
        """A client without any proxy of the environment."""
        return httpx.Client(
            base_url=self.url, timeout=self.patience_s, trust_env=False, headers=headers
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        whole = self.log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def until(self, what: Callable[[], Any]) -> Any:
        """Wait for something to be true; gives it back."""
        began = time.monotonic()
        while not (found := what()):
            waited = time.monotonic() - began
            assert waited < self.patience_s, self.log.read_text()
            time.sleep(min(0.02 + waited / 40, 1.0))
        return found

    def ready(self) -> dict[str, Any]:
        """What /ready says, once it is 200."""

        def look() -> Any:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with self.client() as client:
                    answer = client.get("/ready")
            except httpx.TransportError:
                return None
            return answer.json()["data"] if answer.status_code == 200 else None

        found: dict[str, Any] = self.until(look)
        return found

    def answers(self) -> bool:
        """Whether the process speaks HTTP yet."""
        try:
            with self.client() as client:
                return client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(self.patience_s)
        self.left = [path.name for path in self.scratch.iterdir()] if self.scratch.exists() else []
        shutil.rmtree(self.scratch, ignore_errors=True)
        return status


def start(
    home: Path, folder: Path, python: Path, patience_s: float = 60.0, **settings: str
) -> Running:
    """Start a server on a free port with `python` as vLLM's interpreter; does not wait."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scratch = Path(tempfile.mkdtemp(prefix="llm"))  # short: the path of a socket has a limit
    log = folder / "log"
    ours = ("ASR_", "LLM_", "GLAGOL_", "XDG_", "HF_", "TRITON_", "VLLM_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    given = {
        "PYTHONPATH": os.pathsep.join(str(p) for p in sorted(PACKAGES.glob("*/src"))),
        "GLAGOL_HOME": str(home),
        "TMPDIR": str(scratch),
        "LLM_PORT": str(port),
        "LLM_DEVICE": "cpu",
        "LLM_PYTHON": str(python),
        "LLM_STATE": str(folder / "state"),
        "LLM_LOG_LEVEL": "debug",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "glagol.llm"],
        env={**kept, **given, **settings},
        stderr=log.open("wb"),
    )
    return Running(process, f"http://127.0.0.1:{port}", log, scratch, patience_s)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]
