"""`python -m glagol.asr.worker`: a process that runs jobs of the queue and serves no requests.

Any number of them share a queue and a folder of inputs with any number of servers. While it can
work, a worker touches a heartbeat file in ASR_STATE/workers; `check` reads it, for containers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from glagol.asr import bootstrap
from glagol.asr.settings import Settings
from glagol.core import journal
from glagol.core.errors import HostError
from glagol.core.files import private_folder
from glagol.web.serve import STOPPED_S, end_by, exit_status

if TYPE_CHECKING:
    from glagol.asr.bootstrap import Components

__all__ = ["check", "main"]

DRAIN_S: Final = 20.0  # with what follows it less than STOPPED_S
SETTLE_S: Final = 3.0
BEAT_S: Final = 5.0
SILENT_S: Final = 30.0


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Work until SIGTERM or SIGINT; the job under way may end for a while, else it is given back.

    Args:
        environment: `ASR_*`, `GLAGOL_HOME` and `GLAGOL_STORE`; address and port are not used.

    Returns:
        The exit status by the table of errors.
    """

    def run() -> None:
        found = bootstrap.assemble(environment)
        if found.jobs_off is not None:
            raise found.jobs_off
        with bootstrap.traced(found, "asr-worker"):
            _work(found)

    return exit_status(run)


def check(environment: Mapping[str, str] = os.environ) -> None:
    """See that a worker of this machine (or container) and this ASR_STATE can work.

    Raises:
        HostError: `not_ready`, there is none, or it has been silent for 30 s.
        InputError: `setting_invalid`.
    """
    folder = _beats(Settings.from_environment(environment))
    now = time.time()
    for beat in folder.glob(f"{socket.gethostname()}-*"):
        with contextlib.suppress(FileNotFoundError):  # it ended just now
            if now - beat.stat().st_mtime < SILENT_S:
                return
    raise HostError("not_ready", "no worker of this machine can work", "see the worker's log")


def _work(found: Components) -> None:
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    job_threads = found.job_threads()
    if job_threads is None or found.jobs is None:
        raise AssertionError("jobs were looked at before")
    bootstrap.announce(found)
    found.engine.start()
    job_threads.start()
    beat = _beats(found.settings) / f"{socket.gethostname()}-{os.getpid()}"
    try:
        while not stopping.wait(BEAT_S):
            if found.engine.trouble is None and found.jobs.sample.reachable:
                _touch(beat)
    finally:
        beat.unlink(missing_ok=True)
    journal.write("stopping")
    end_by(STOPPED_S)
    job_threads.stop()
    found.engine.close(DRAIN_S)
    job_threads.close(SETTLE_S)
    found.jail.close()
    journal.write("stopped")


def _beats(settings: Settings) -> Path:
    return Path(settings.state) / "workers"


def _touch(beat: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk is no reason to stop
        private_folder(beat.parent)
        beat.touch(mode=0o600)


if __name__ == "__main__":
    sys.exit(main())
