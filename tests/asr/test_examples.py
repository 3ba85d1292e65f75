"""The examples do what they say, against the real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sounds
from asr.process import PATIENCE_S, Server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = {
    "curl": (["sh", "transcribe.sh"], "curl"),
    "python": ([sys.executable, "transcribe.py"], sys.executable),
    "javascript": (["node", "transcribe.mjs"], "node"),
    "upload": ([sys.executable, "upload.py"], sys.executable),
}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "запись.wav"
    file.write_bytes(sounds.clip())
    return file


def run(server: Server, name: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    (interpreter, script), needed = PROGRAMS[name]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    environment = {**os.environ, "GLAGOL_URL": server.url, "no_proxy": "*", "NO_PROXY": "*"}
    return subprocess.run(
        [interpreter, EXAMPLES / script, file, *more],
        capture_output=True, text=True, timeout=PATIENCE_S, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_prints_the_same_transcript(server: Server, name: str, recording: Path) -> None:
    with server.client() as client:
        expected = client.put("/v1/transcribe", content=sounds.clip()).json()["data"]
    result = run(server, name, recording)
    assert result.returncode == 0, result.stderr
    if name == "python":
        lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
        assert [line[2] for line in lines] == [s["text"] for s in expected["segments"]]
    else:
        assert result.stdout.strip() == expected["text"]
    assert [path.name for path in recording.parent.iterdir()] == [recording.name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_tells_what_is_wrong(server: Server, name: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("просто текст")
    result = run(server, name, file)
    assert result.returncode != 0
    assert "audio_unreadable" in result.stdout + result.stderr


def test_curl_gives_every_format(server: Server, recording: Path) -> None:
    assert json.loads(run(server, "curl", recording, "json").stdout)["success"] is True
    assert run(server, "curl", recording, "vtt").stdout.startswith("WEBVTT")
