"""Loading ONNX Runtime through this package leaves no trace: no device id, no event file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_import_writes_nothing_at_home_or_in_the_temporary_folder(tmp_path: Path) -> None:
    """A fresh process without the variable, as a program that uses the package would be."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    env = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    env |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import glagol.speech, time; time.sleep(0.5)"
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    assert not [*home.rglob("*"), *temporary.rglob("*")]
