"""`glagol summarize` and `transcribe --summarize` against the real route on a real socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from llm.served import summarising
from llm.summarize.test_summaries import TRANSCRIPT, service_of
from llm.summarize.test_summarize import FakeModel

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """llm-server's address; its model knows what it is asked."""
    with summarising(service_of(FakeModel(max_context=4000))) as address:
        yield address


def test_a_text_is_summarised(glagol: Run, tmp_path: Path, url: str) -> None:
    """For people and for programs; into a file that is whole."""
    path = tmp_path / "заметки.txt"
    path.write_text("Обсудили бюджет.\nРешили отложить.\n", encoding="utf-8")
    shown = glagol("summarize", path, "--url", url)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.startswith("short\n\nГлавное:\n- about s1\n")
    data = json.loads(glagol("summarize", path, "--url", url, "--format", "json").out)
    assert data["coverage"]["covered"] == 2
    target = tmp_path / "out.json"
    glagol("summarize", path, "--url", url, "--format", "json", "--output", target)
    assert json.loads(target.read_bytes()) == data


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_transcript_keeps_its_times(glagol: Run, tmp_path: Path, url: str, wrapped: bool) -> None:
    """As the command line and as the server write it."""
    value: Any = {"success": True, "data": TRANSCRIPT, "error": None} if wrapped else TRANSCRIPT
    path = tmp_path / "t.json"
    path.write_text(json.dumps(value))
    assert "- about s1 (0:00:00)" in glagol("summarize", path, "--url", url).out


def test_standard_input_and_language(
    glagol: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """- is standard input; the summary's language can be chosen."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("{слово".encode())))
    result = glagol("summarize", "-", "--url", url, "--language", "en")
    assert "Key points:" in result.out


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b" \n", 2, "text_empty"),
        (b"RIFF\xff\xfe\x00", 2, "request_invalid"),
        (b'{"segments": [{"text": ""}]}', 2, "text_empty"),
        (b'{"segments": 1}', 2, "request_invalid"),
    ],
)
def test_what_cannot_be_summarised_is_said(
    glagol: Run, tmp_path: Path, url: str, data: bytes, status: int, code: str
) -> None:
    """By us or by the server, with the same codes."""
    path = tmp_path / "x"
    path.write_bytes(data)
    result = glagol("summarize", path, "--url", url)
    assert result.status == status
    assert code in result.err


def test_no_server_no_summary(glagol: Run, tmp_path: Path) -> None:
    """Exit 5, and what to look at."""
    path = tmp_path / "x"
    path.write_text("слово")
    result = glagol("summarize", path, "--url", "http://127.0.0.1:9")
    assert result.status == 5
    assert "llm_unavailable" in result.err
    assert glagol("summarize", tmp_path / "absent", "--url", "http://127.0.0.1:9").status == 2


def test_a_recording_is_transcribed_and_summarised(
    glagol: Run, home: Path, recording: Path, url: str
) -> None:
    """One command; the transcript is printed even when the model is away."""
    asked = ("transcribe", recording, "--home", home, "--summarize", "--llm-url")
    plain = glagol("transcribe", recording, "--home", home).out
    shown = glagol(*asked, url)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.startswith(f"{plain}\nshort\n\n")
    data = json.loads(glagol(*asked, url, "--format", "json").out)
    assert data["summary"]["coverage"]["covered"] == len(data["segments"])
    away = glagol(*asked, "http://127.0.0.1:9")
    assert (away.status, away.out) == (5, plain)
    assert "llm_unavailable" in away.err
    assert glagol(*asked, url, "--format", "srt").status == 2
