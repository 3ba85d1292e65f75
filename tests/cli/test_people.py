"""`glagol people`: roles, passwords that only their hash is kept of, keys that are on with them."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.running import Result
from glagol.web.access.people import FILE, PeopleFile, parse
from glagol.web.serve import key_file

Glagol = Callable[..., Result]
PASSWORD = "лошадь батарея скрепка"  # noqa: S105 - made up


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of state that is not there yet."""
    monkeypatch.setenv("ASR_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\nкоротко\n"))
    return tmp_path / "state"


def test_people_are_added_listed_and_removed(glagol: Glagol, state: Path) -> None:
    """The file is its owner's; a password is read from the input, and too short a one refused."""
    assert glagol("people", "add", "olga").status == 0
    path = state / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    people = parse(path.read_bytes())
    assert people is not None
    assert PASSWORD not in path.read_text()
    assert people.entered("OLGA", PASSWORD) == people.named("olga")
    assert people.entered("olga", PASSWORD + " ") is None
    short = glagol("people", "add", "ivan")
    assert (short.status, "10..1024" in short.err) == (2, True)
    assert glagol("people", "add", "a b", "--no-password").status == 2
    assert glagol("people", "add", "CORP\\anna", "--role", "reader", "--no-password").status == 0
    assert "CORP\\anna\treader\tno" in glagol("people", "list").out
    assert glagol("people", "remove", "olga").status == 0
    assert glagol("people", "remove", "olga").status != 0


def test_with_people_programs_need_a_key_whatever_vanishes(glagol: Glagol, state: Path) -> None:
    """Neither file may open the server by going away, while it runs or at its next start."""
    assert glagol("people", "add", "olga", "--no-password").status == 0
    ring = key_file(str(state))()
    assert ring is not None
    assert [key.name for key in ring.keys] == ["olga"]
    file = PeopleFile(state)
    (state / FILE).unlink()
    assert file.current() is not None
    left = key_file(str(state))()
    assert left is not None
    assert left.keys == ()
