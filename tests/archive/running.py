"""Run `glagol archive` in its own environment, and read what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("GLAGOL_ARCHIVE_PYTHON", "")
READ = """
import json, sys
import pyarrow.parquet
rows = [row for path in sys.argv[1:] for row in pyarrow.parquet.read_table(path).to_pylist()]
json.dump(rows, sys.stdout)
"""


@dataclass(frozen=True)
class Result:
    """What a run gave."""

    status: int
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a run; only what the machine needs and what a test adds."""
    if not PYTHON:
        pytest.skip("Ray has a run of its own: build/test-archive")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry.endswith("/src"))
    return {**kept, "PYTHONPATH": path, "GLAGOL_HOME": str(home), "LANG": "C.UTF-8", **more}


def begin(home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start a run."""
    return subprocess.Popen(
        [PYTHON, "-m", "glagol.cli", "archive", *arguments],
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(home: Path, *arguments: str, **more: str) -> Result:
    """A run to its end."""
    environment(home)
    process = begin(home, *arguments, **more)
    try:
        out, err = process.communicate(timeout=600)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert not out
    return Result(process.returncode, err)


def rows(target: Path, table: str = "recordings") -> list[dict[str, Any]]:
    """All rows of a table, by path."""
    files = sorted(str(path) for path in (target / table).glob("*.parquet"))
    if not files:
        return []
    read = subprocess.run([PYTHON, "-c", READ, *files], capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(read.stdout)
    return sorted(found, key=lambda row: str(row["path"]))


def descendants(pid: int) -> dict[int, str]:
    """Processes below a process, with their command lines."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            status = (entry / "stat").read_text()
            names[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    for child in parents:
        above = child
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and child != pid:
            found[child] = names[child]
    return found
