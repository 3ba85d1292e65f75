"""A real redis-server on a unix socket in a directory of its own; it can be killed and return."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

PROGRAM = shutil.which("redis-server")
PATIENCE_S = 30.0
# where syncing costs nothing, for tests that do not kill the machine; None is the usual place
MEMORY = next((place for place in [Path("/dev/shm")] if place.is_dir()), None)  # noqa: S108


class RedisServer:
    """A server that keeps what it acknowledged; `options` come last and win."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again on what the last one left, and wait until it answers."""
        assert PROGRAM is not None
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                PROGRAM, "--port", "0", "--unixsocket", self.socket, "--dir", self.directory,
                "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                "--logfile", self.directory / "redis.log", *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE_S
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert self._process.poll() is None, (self.directory / "redis.log").read_text()
                    assert time.monotonic() < end, "redis-server does not answer"
                    time.sleep(0.01)
                else:
                    return

    def pause(self) -> None:
        """Let it answer nothing more, while its connections stay (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
