"""Run the vLLM process under the subreaper: read its lines, notice its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from glagol.core.errors import HostError

__all__ = ["Child"]

LINE_BYTES_MAX: Final = 8192
_SUBREAPER: Final = Path(__file__).with_name("subreaper.py")


class Child:
    """A program and everything that it starts.

    Args:
        scratch: A directory to remove when this process ends.
        command: Program and arguments.
        environment: All its variables.
        on_line: Gets each line that it writes, without the newline, cut at 8 KiB; called from a
            thread of its own.

    Raises:
        HostError: `host_io`, no process can be started.
    """

    def __init__(
        self,
        scratch: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        try:
            self._subreaper = subprocess.Popen(
                [sys.executable, "-I", str(_SUBREAPER), str(scratch), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(
                "host_io", f"cannot start a process: {error.strerror}", "look at the limits"
            ) from error
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, name="vllm-lines", daemon=True)
        self._reader.start()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiter = threading.Thread(
            target=self._wait, args=(asyncio.get_running_loop(),), name="vllm-end", daemon=True
        )
        self._waiter.start()

    def stop(self) -> None:
        """Ask it to end: SIGINT; if it does not, SIGTERM after 15 s and SIGKILL after 20 s."""
        with suppress(ProcessLookupError):
            self._subreaper.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self._subreaper.send_signal(signal.SIGUSR1)

    def _read(self) -> None:
        stream = self._subreaper.stdout
        if stream is None:
            return
        while line := stream.readline(LINE_BYTES_MAX):
            self._on_line(line.decode("utf-8", "replace").rstrip())

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        status = self._subreaper.wait()
        if status < 0:  # the subreaper itself was killed: what it kept together is left to us
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._subreaper.pid, signal.SIGKILL)
        self._reader.join(1.0)
        with suppress(RuntimeError):  # the loop is closed: no task waits any more
            loop.call_soon_threadsafe(self._tell, status)

    def _tell(self, status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(status)
