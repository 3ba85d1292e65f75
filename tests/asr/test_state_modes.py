"""What lies in ASR_STATE is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import sounds
from asr.bench import Bench
from asr.jobs.job_steps import PATIENCE_S, submit
from glagol.asr import worker
from glagol.asr.jobs.inputs import Inputs
from glagol.asr.tus.store import UploadInfo, Uploads
from glagol.cli.main import main as glagol


@pytest.fixture
def _careless() -> Iterator[None]:
    """A parent process that gave no umask a thought."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_careless")
def test_modes_do_not_follow_the_umask(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """Folders, the queue, inputs however they got there, uploads and their marks, keys, the log."""
    state = tmp_path / "made" / "state"
    bench = make_bench(state=str(state))
    assert bench.send("PUT", "/v1/transcribe", content=sounds.silence(1)).status_code == 200
    bench.stub.gate.clear()
    submit(bench)
    assert bench.stub.entered.wait(PATIENCE_S)
    with ExitStack() as stack:
        uploads = Uploads(state / "uploads", 100, lambda: 100)
        upload_id = uploads.create(UploadInfo(3))
        stack.enter_context(uploads.writer(upload_id, "", 0, whole=True)).write(b"abc")
        inputs = Inputs(state / "spool", lambda: 1 << 30)
        with (tmp_path / "elsewhere").open("w+b") as file:
            inputs._copied(file, "copied")
        worker._touch(state / "workers" / "host-1")
        assert glagol(["keys", "--state", str(state), "add", "alice"]) == 0
        found = {path: path.lstat().st_mode for path in (state.parent, *state.parent.rglob("*"))}
    names = {path.name for path in found}
    assert {"state", "spool", "uploads", "jobs.sqlite", "jobs.sqlite-wal", "keys.json", "keys.on",
            "audit.log", "copied", f"{upload_id}.unchecked", "host-1"} <= names  # fmt: skip
    for path, mode in found.items():
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path
    bench.stub.gate.set()
