"""Work that is done is not lost: full disks, closed streams, names and locales of any kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sounds
from asr.process import environment
from cli.running import Result
from glagol.cli import output
from glagol.core.errors import CODES, HostError

Run = Callable[..., Result]


def glagol(home: Path, folder: Path, *arguments: str | bytes, **rest: Any) -> Any:
    """The command in a process of its own; its stderr as text."""
    variables = environment(home, **rest.pop("variables", {}))
    command = [sys.executable, "-m", "glagol.cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=variables, stderr=subprocess.PIPE, check=False, **rest
    )
    return done.returncode, done.stdout, done.stderr.decode()


def test_transcripts_survive_a_full_disk(home: Path, tmp_path: Path) -> None:
    """Both, though one file's name is no UTF-8; the error says where they are, and nothing else."""
    names = [b"one.wav", b"caf\xe9.wav"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(sounds.clip())
    with Path("/dev/full").open("wb") as full:
        status, _, stderr = glagol(
            home, tmp_path, "transcribe", "--format", "json", *names, stdout=full
        )
    assert status == CODES["disk_full"].exit_status
    assert stderr.count("[disk_full]") == stderr.count("kept in") == 2
    assert "Traceback" not in stderr
    kept = sorted(tmp_path.glob("*.json"))
    assert [os.fsencode(path.name)[:4] for path in kept] == [b"caf\xe9", b"one-"]
    files = [json.loads(path.read_bytes()) for path in kept]
    assert [each["file"] for each in files] == ["caf\ufffd.wav", "one.wav"]
    assert all(each["data"]["text"] for each in files)
    assert str(kept[1]) in stderr


def test_a_locale_without_cyrillic_gets_utf_8(home: Path, tmp_path: Path) -> None:
    """Texts of the demo and names in errors, under ISO-8859-1."""
    latin = {"PYTHONIOENCODING": "iso-8859-1"}
    status, out, stderr = glagol(home, tmp_path, "demo", variables=latin, stdout=subprocess.PIPE)
    assert (status, stderr) == (0, "")
    assert "екатерина" in out.decode()
    status, _, stderr = glagol(home, tmp_path, "demo", "--model", "запись", variables=latin)
    assert status == CODES["model_unknown"].exit_status
    assert "запись" in stderr


def test_other_commands_say_that_the_disk_is_full(home: Path, tmp_path: Path) -> None:
    """Once, with the status of the code; a full disk under stderr changes no status."""
    with Path("/dev/full").open("wb") as full:
        status, _, stderr = glagol(home, tmp_path, "settings", stdout=full)
        assert (status, stderr.count("disk_full")) == (CODES["disk_full"].exit_status, 1)
        assert "Traceback" not in stderr
        assert "Exception ignored" not in stderr
        command = [sys.executable, "-m", "glagol.cli", "demo", "--model", "none"]
        quiet = subprocess.run(command, env=environment(home), stderr=full, check=False)
    assert quiet.returncode == CODES["model_unknown"].exit_status


def test_a_result_is_kept_in_the_first_place_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory, then TMPDIR; when neither does, the error says that it is lost."""
    full = HostError("disk_full", "no room", "free some")
    monkeypatch.chdir(tmp_path)
    places = [tmp_path / "cwd", tmp_path / "tmp"]
    for place in places:
        place.mkdir()
    monkeypatch.setattr(Path, "cwd", lambda: places[0])
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(places[1]))
    tried: tuple[Path | None, ...] = (*places, None)
    for where in tried:
        stderr = output.keep(b"text", "a/b.wav", "srt", full)
        assert (stderr.code, stderr.message) == ("disk_full", "no room")
        if where is None:
            assert "no place" in stderr.remedy
            break
        (kept,) = where.iterdir()
        assert kept.name.startswith("b-")
        assert kept.name.endswith(".srt")
        assert (kept.read_bytes(), str(kept) in stderr.remedy) == (b"text", True)
        kept.unlink()
        where.rmdir()


def test_a_closed_standard_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`>&-` in a shell."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(HostError, match="Bad file descriptor"):
        output.show(b"text")


def test_the_language_is_taken_in_any_form(glagol: Run, home: Path, recording: Path) -> None:
    """As on every route; one that the model does not know is refused before any work."""
    plain = glagol("transcribe", "--home", home, recording)
    asked = glagol("transcribe", "--home", home, "--language", "ru_RU", recording)
    assert (asked.status, asked.out) == (0, plain.out)
    wrong = glagol("transcribe", "--home", home, "--language", "French", recording)
    assert wrong.status == CODES["option_invalid"].exit_status
    assert "does not know the language 'French'" in wrong.err
