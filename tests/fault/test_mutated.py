"""Damaged recordings: an answer or an error for each, no crash, no hang (`./just proof fuzz`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import homes

COUNT = os.environ.get("GLAGOL_FUZZ_FILES", "250")
SEED = os.environ.get("GLAGOL_FUZZ_SEED", "1")


def test_damaged_recordings_are_answered() -> None:
    """In a process of its own, which a crash of a decoder would end."""
    homes.repository()
    program = str(Path(__file__).with_name("mutated.py"))
    command = [sys.executable, "-W", "ignore", program, "--count", COUNT, "--seed", SEED]
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["outcomes"]["transcript or samples"] > 0
    assert len(summary["outcomes"]) > 3
