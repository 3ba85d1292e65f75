"""`glagol audit` on real files: exit statuses, what it prints, where it looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.running import Result
from glagol.web.audit_log import AuditLog, Entry

Glagol = Callable[..., Result]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three lines, two of them about one job."""
    path = tmp_path / "audit.log"
    writer = AuditLog(path)
    for job, request in (("j1", "r1"), ("j2", "r2"), ("j1", "r3")):
        writer.append(Entry(event="transcribed", job=job, request=request, owner="Анна"))
    return path


def test_a_whole_log_gives_its_newest_hash(glagol: Glagol, log: Path) -> None:
    """Which, given back later, proves that nothing was cut off."""
    result = glagol("audit", "verify", log)
    assert (result.status, result.err) == (0, "")
    head = result.out.rpartition("newest hash: ")[2].strip()
    assert "3 lines are right" in result.out
    AuditLog(log).append(Entry(event="later"))
    assert glagol("audit", "verify", log, "--head", head.upper()).status == 0
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    cut = glagol("audit", "verify", log, "--head", head)
    assert cut.status == 4
    assert head in cut.err


def test_an_altered_log_exits_with_4_and_names_the_line(glagol: Glagol, log: Path) -> None:
    """On stderr for people, on stdout for programs."""
    log.write_bytes(log.read_bytes().replace(b"j2", b"j9"))
    result = glagol("audit", "verify", log, "--json")
    assert result.status == 4
    assert "line 2 does not have the hash that it states" in result.err
    assert "[audit_altered]" in result.err
    answer = json.loads(result.out)
    assert (answer["lines"], answer["fault_line"]) == (1, 2)
    assert "line 2" in answer["fault"]


def test_a_jobs_lines_are_shown_as_they_are(
    glagol: Glagol, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the directory of state, byte for byte; by request too; an altered log is reported."""
    monkeypatch.setenv("ASR_STATE", str(log.parent))
    rows = log.read_text(encoding="utf-8").splitlines()
    shown = glagol("audit", "show", "--job", "j1")
    assert shown.status == 0
    assert shown.out.splitlines() == [rows[0], rows[2]]
    assert glagol("audit", "show", "--job", "r2").out.splitlines() == [rows[1]]
    nothing = glagol("audit", "show", "--job", "unknown")
    assert (nothing.status, nothing.out) == (0, "")
    assert "unknown" in nothing.err
    log.write_bytes(log.read_bytes().replace(b"r3", b"r4"))
    altered = glagol("audit", "show", "--job", "j1")
    assert altered.status == 4
    assert altered.out.splitlines() == [rows[0]]


def test_callers_that_choose_one_id_are_distinguished(glagol: Glagol, tmp_path: Path) -> None:
    """By the server's own id, by which each can be asked for alone."""
    path = tmp_path / "audit.log"
    writer = AuditLog(path)
    for call, job, owner in (("c1", "", "anna"), ("c2", "", "boris"), ("", "j1", "boris")):
        writer.append(Entry(event="transcribed", job=job, request="same", call=call, owner=owner))
    shown = glagol("audit", "show", path, "--job", "same")
    assert len(shown.out.splitlines()) == 3
    assert "3 requests of 2 keys have the id same" in shown.err
    for name, owner in (("c1", "anna"), ("c2", "boris"), ("j1", "boris")):
        one = glagol("audit", "show", path, "--job", name)
        assert [json.loads(line)["owner"] for line in one.out.splitlines()] == [owner]
        assert one.err == ""


def test_no_log_is_the_callers_business(glagol: Glagol, tmp_path: Path) -> None:
    """Exit 2, with the place where it was looked for."""
    result = glagol("audit", "verify", tmp_path / "none.log")
    assert result.status == 2
    assert "none.log" in result.err
