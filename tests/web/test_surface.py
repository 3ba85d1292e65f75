"""The HTTP surface under generated requests: no 5xx, and every answer is as the document says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr.process import start
from homes import make_home

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)


@pytest.mark.slow
def test_generated_requests_break_nothing(tmp_path: Path) -> None:
    """The same some 700 requests in every run: examples, borders, nonsense, and sequences."""
    server = start(make_home(tmp_path / "home"), tmp_path / "scratch", ASR_STATE=str(tmp_path))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/schema/openapi.json"),
            *("--checks", ",".join(CHECKS), "--max-examples", "6"),
            "--generation-deterministic",
            *("--warnings", "off", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    assert not server.lines("unexpected exception")
    with server.client() as client:
        assert client.get("/ready").status_code == 200
    assert server.stop() == 0
