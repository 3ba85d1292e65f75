"""A new output format is one row of `FORMATS`: the command and the server have it, from that alone.

Each test runs a process of its own, which adds a made-up row before it imports the command or the
application, as a release with that row would. Nothing else is replaced.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROW = """
import json, sys
from glagol.speech.output import formats

formats.FORMATS["count"] = formats.Format(
    "count", lambda transcript: f"{len(transcript.segments)} segments\\n".encode(),
    "text/x-count", ".cnt", joinable=True, openai=True,
)
"""
COMMAND = (
    ROW
    + """
from glagol.cli.main import main

sys.exit(main(["transcribe", "--format", "count", *sys.argv[1:]]))
"""
)
SERVER = (
    ROW
    + """
import sounds
from asr.bench import make
from asr.jobs.job_steps import submit, until

bench = make(state=sys.argv[1])
sound = sounds.silence(1)
form = {"files": {"file": sound}, "data": {"response_format": "count"}}
made = submit(bench, "&format=count")
until(bench, made.id, "done")
answers = {
    "ours": bench.send("PUT", "/v1/transcribe?format=count", content=sound),
    "openai": bench.send("POST", "/v1/audio/transcriptions", **form),
    "default": bench.send("GET", f"/v1/jobs/{made.id}/result"),
    "job": bench.send("GET", f"/v1/jobs/{made.id}/result?format=count"),
    "streamed": bench.send("POST", "/v1/audio/transcriptions", files=form["files"],
                           data={"response_format": "count", "stream": "true"}),
    "refused": bench.send("PUT", "/v1/transcribe?format=doc", content=sound),
    "document": bench.send("GET", "/schema/openapi.json"),
}
bench.close()
print(json.dumps({
    name: [answer.status_code, answer.headers["content-type"], answer.text]
    for name, answer in answers.items()
}))
"""
)


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program with the packages and the tests' helpers on its path."""
    paths = [ROOT / "tests", *(ROOT / "packages").glob("*/src")]
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
    )


def test_the_command_has_it(home: Path, recording: Path, tmp_path: Path) -> None:
    """Choice, help, extension, standard output of one file and of several."""
    explained = run(COMMAND, "--help").stdout
    assert "[json|text|tsv|srt|vtt|txt|md|docx|html|rttm|count]" in explained
    assert ".html, .rttm, .cnt" in " ".join(explained.split())
    alone = run(COMMAND, "--home", home, recording)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.endswith(" segments\n")
    twin = tmp_path / "twin.wav"
    twin.write_bytes(recording.read_bytes())
    both = run(COMMAND, "--home", home, recording, twin)
    assert both.stdout == f"{recording}: {alone.stdout}{twin}: {alone.stdout}"
    assert run(COMMAND, "--home", home, "--output-dir", tmp_path / "out", twin).returncode == 0
    assert (tmp_path / "out/twin.cnt").read_text(encoding="utf-8") == alone.stdout


def test_the_server_has_it(tmp_path: Path) -> None:
    """Both transcription routes, a job's result, errors and the OpenAPI document."""
    done = run(SERVER, tmp_path / "state")
    assert done.returncode == 0, done.stderr
    answers: dict[str, tuple[int, str, str]] = json.loads(done.stdout.splitlines()[-1])
    for name in ("ours", "openai", "default", "job"):
        status, media_type, text = answers[name]
        assert (status, text) == (200, "1 segments\n"), name
        assert media_type.startswith("text/x-count"), name
    assert "transcript.text.done" in answers["streamed"][2]
    assert (
        "use json, text, tsv, srt, vtt, txt, md, docx, html, rttm, count" in answers["refused"][2]
    )
    document: dict[str, Any] = json.loads(answers["document"][2])
    enums = list(enumerations(document))
    every = ["json", "text", "tsv", "srt", "vtt", "txt", "md", "docx", "html", "rttm", "count"]
    assert enums.count(every) == 4
    openai = ["json", "text", "srt", "verbose_json", "vtt", "count", "diarized_json"]
    assert enums.count(openai) == 2


def enumerations(node: Any) -> Any:
    """Every `enum` anywhere in an OpenAPI document."""
    if isinstance(node, dict):
        if "enum" in node:
            yield node["enum"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from enumerations(part)
