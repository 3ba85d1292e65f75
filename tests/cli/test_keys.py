"""`glagol keys`: shown once, stored as a digest, written whole, unreadable for other users."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asr.process import environment
from cli.running import Result
from glagol.web.access.api_keys import parse

Glagol = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of state that is not there yet."""
    monkeypatch.setenv("ASR_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_key_is_shown_once_and_works(glagol: Glagol, state: Path) -> None:
    """Its text alone on standard output; in the file its digest, for the owner alone."""
    added = glagol("keys", "add", "alice", "--rate", 60, "--expires", 30, "--scope", "jobs")
    assert added.status == 0
    assert re.fullmatch(r"glagol_[\w-]{43}\n", added.out)
    path = state / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert added.out.strip() not in path.read_text()
    key = parse(path.read_bytes()).find(added.out.strip())
    assert key is not None
    assert (key.name, key.rate_per_minute, key.concurrent) == ("alice", 60, None)
    assert key.scopes == ("jobs",)
    assert key.expires is not None
    assert (key.expires - key.created).days == 30
    assert added.out.strip() not in glagol("keys", "list").out


def test_list_and_revoke(glagol: Glagol, state: Path) -> None:
    """Off, one, two, one, none; the last one says what that means."""
    assert "keys are off" in glagol("keys", "list").err
    for name in ("alice", "bob"):
        assert glagol("keys", "add", name).status == 0
    lines = glagol("keys", "list").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["name", "alice", "bob"]
    assert lines[1].split("\t")[2:] == ["never", "transcribe,jobs", "policy", "policy"]
    assert glagol("keys", "revoke", "alice").status == 0
    assert len(glagol("keys", "list").out.splitlines()) == 2
    assert "closed to all callers" in glagol("keys", "revoke", "bob").err
    assert parse((state / "keys.json").read_bytes()).keys == ()


def test_keys_that_are_on_stay_on_until_they_are_switched_off(glagol: Glagol, state: Path) -> None:
    """The mark outlives keys.json; `off` takes both, and only then the list says off."""
    assert glagol("keys", "add", "alice").status == 0
    (state / "keys.json").unlink()
    assert "the server does not start" in glagol("keys", "list").err
    assert glagol("keys", "off").status == 0
    assert not [*state.iterdir()]
    assert "keys are off" in glagol("keys", "list").err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("revoke", "unknown"), 2),
        (("add", "a b"), 2),
        (("add", "x", "--rate", "-1"), 2),
        (("add", "x", "--scope", "everything"), 2),
    ],
)
def test_what_cannot_be_is_refused(
    glagol: Glagol, state: Path, arguments: tuple[str, ...], status: int
) -> None:
    """And nothing is written."""
    assert glagol("keys", *arguments).status == status
    assert not (state / "keys.json").exists()


def test_a_broken_file_is_not_overwritten(glagol: Glagol, state: Path) -> None:
    """It may still hold keys in use."""
    state.mkdir()
    (state / "keys.json").write_text("{")
    assert glagol("keys", "add", "alice").status == 2
    assert (state / "keys.json").read_text() == "{"
    assert [path.name for path in state.iterdir()] == ["keys.json"]


def test_two_commands_at_once_lose_nothing(state: Path, tmp_path: Path) -> None:
    """Four at a time, each in a process of its own."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "glagol.cli", "keys", "--state", str(state), "add", f"k{n}"],
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for n in range(4)
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(parse((state / "keys.json").read_bytes()).keys) == 4
