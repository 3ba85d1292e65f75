"""The audit log: every change is noticed, and neither crashes nor concurrent writers break it."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import HostError, IntegrityError
from glagol.web import audit_log
from glagol.web.audit_log import FIRST, AuditLog, Entry, digest_of, lines, verify

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def written(path: Path, count: int = 5) -> list[str]:
    """A log of `count` lines; their hashes."""
    log = AuditLog(path, clock=lambda: NOON)
    return [log.append(Entry(event="transcribed", job=f"job{n}")) for n in range(count)]


def faulty(path: Path, line: int, words: str) -> None:
    """Check that verification names this line with this message, and that reading fails too."""
    report = verify(path)
    assert report.fault_line == line
    assert words in report.fault
    assert str(path) in report.fault
    with pytest.raises(IntegrityError) as caught:
        list(lines(path))
    assert caught.value.code == "audit_altered"


def test_a_line_says_which_bytes_made_which(tmp_path: Path) -> None:
    """In canonical JSON, each field as given and nothing that does not apply."""
    path = tmp_path / "audit.log"
    entry = Entry(
        event="transcribed", job="j1", request="r1", owner="Анна", input_sha256="a" * 64,
        model="gigaam-nano", variant="cpu-int8", manifest_version=7, manifest_sha256="b" * 64,
        artifacts_sha256=digest_of({"encoder.onnx": "c" * 64}), transcript_sha256="d" * 64,
    )  # fmt: skip
    head = AuditLog(path, clock=lambda: NOON).append(entry)
    [line] = path.read_bytes().splitlines()
    fields = json.loads(line)
    assert fields.pop("hash") == head
    assert fields.pop("previous") == FIRST
    assert fields == {
        "artifacts_sha256": digest_of({"encoder.onnx": "c" * 64}), "event": "transcribed",
        "form": 1, "input_sha256": "a" * 64, "job": "j1", "manifest_sha256": "b" * 64,
        "manifest_version": 7, "model": "gigaam-nano", "owner": "Анна", "request": "r1", "seq": 1,
        "time": "2026-01-02T12:00:00.000+00:00", "transcript_sha256": "d" * 64,
        "variant": "cpu-int8",
    }  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_log_can_be_checked_without_us(tmp_path: Path) -> None:
    """By the script of docs/explanation/audit.md, which knows nothing but sha256 and JSON."""
    path = tmp_path / "audit.log"
    AuditLog(path).append(Entry(event="transcribed", owner='Анна "Я" \x01\u2028\U0001f600/<>'))
    head = written(path)[-1]
    page = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "audit.md"
    text = page.read_text(encoding="utf-8")
    script = textwrap.dedent(text.partition("<<'END'\n")[2].partition("    END\n")[0])

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", script, str(path)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run().stdout == f"6 lines, newest hash {head}\n"
    path.write_bytes(path.read_bytes().replace(b"job2", b"job9"))
    assert run().stderr.endswith("AssertionError: 4\n")


def test_the_artifacts_digest_depends_on_names_and_digests_alone() -> None:
    """Not on their order."""
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert digest_of(one) == digest_of(two) != digest_of({"a": "2", "b": "1"})


def test_a_whole_log_is_reported_as_it_is(tmp_path: Path) -> None:
    """Count, newest hash, times; an empty one too."""
    path = tmp_path / "audit.log"
    path.touch()
    assert verify(path) == audit_log.Report(
        lines=0, head=FIRST, first_time="", last_time="", torn=0
    )
    heads = written(path)
    time = "2026-01-02T12:00:00.000+00:00"
    assert verify(path) == audit_log.Report(
        lines=5, head=heads[-1], first_time=time, last_time=time, torn=0
    )
    with pytest.raises(HostError):
        verify(tmp_path / "none")


@given(st.data())
def test_any_flipped_bit_is_found_in_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever the bit: the first bad line is the one it is in, or one that it joined or split."""
    path = tmp_path_factory.mktemp("log") / "audit.log"
    written(path, 3)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    line = whole[:at].count(b"\n") + 1
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    assert verify(path).fault_line == line


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_removed_line_is_found(tmp_path: Path, gone: int) -> None:
    """Where the next one stands."""
    path = tmp_path / "audit.log"
    written(path)
    left = path.read_bytes().splitlines(keepends=True)
    del left[gone]
    path.write_bytes(b"".join(left))
    faulty(path, gone + 1, f"says that it is line {gone + 2}")


def test_swapped_and_repeated_lines_are_found(tmp_path: Path) -> None:
    """At the first that is out of its place."""
    path = tmp_path / "audit.log"
    written(path)
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([rows[0], rows[2], rows[1], *rows[3:]]))
    faulty(path, 2, "says that it is line 3")
    path.write_bytes(b"".join([*rows[:2], rows[1], *rows[2:]]))
    faulty(path, 3, "says that it is line 2")


def test_a_line_that_was_written_anew_breaks_the_next(tmp_path: Path) -> None:
    """Even with a hash of its own that is right: it is not the one that the next line names."""
    path, other = tmp_path / "audit.log", tmp_path / "other.log"
    written(path)
    log = AuditLog(other, clock=lambda: NOON)
    log.append(Entry(event="transcribed", job="job0"))
    log.append(Entry(event="transcribed", job="another"))
    rows = path.read_bytes().splitlines(keepends=True)
    rows[1] = other.read_bytes().splitlines(keepends=True)[1]
    path.write_bytes(b"".join(rows))
    faulty(path, 3, "does not follow the line before it")


def test_a_cut_end_is_found_by_the_hash_that_was_noted(tmp_path: Path) -> None:
    """By nothing else, which the module says; growing since then is right."""
    path = tmp_path / "audit.log"
    heads = written(path)
    noted = verify(path).head
    written(path, 2)
    assert verify(path, head=noted).fault == ""
    assert verify(path, head=FIRST).fault == ""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    assert verify(path).fault == ""
    assert verify(path, head=heads[3]).fault == ""
    report = verify(path, head=noted)
    assert noted in report.fault
    assert (report.fault_line, report.lines) == (5, 4)


@pytest.mark.parametrize("left", [1, 40, -2])
def test_a_torn_last_line_is_set_aside_and_the_log_continues(tmp_path: Path, left: int) -> None:
    """It was never acknowledged; until the next append, verification says that the end is torn."""
    path = tmp_path / "audit.log"
    written(path, 3)
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole, last[:left]]))
    faulty(path, 3, "ends in the middle")
    written(path, 1)
    report = verify(path)
    assert (report.fault, report.lines, report.torn) == ("", 4, 1)
    assert (tmp_path / "audit.log.torn-3").read_bytes() == last[:left]
    said = list(lines(path))[2]
    assert said["event"] == "torn"
    assert "audit.log.torn-3" in said["detail"]


def test_a_file_that_is_all_torn_begins_again(tmp_path: Path) -> None:
    """A power cut at the very first line leaves zeros."""
    path = tmp_path / "audit.log"
    path.write_bytes(bytes(300))
    written(path, 1)
    assert (verify(path).lines, verify(path).torn) == (2, 1)


def test_nothing_is_added_to_a_log_whose_last_line_is_wrong(tmp_path: Path) -> None:
    """That is no crash: an operator decides."""
    path = tmp_path / "audit.log"
    written(path)
    altered = path.read_bytes().replace(b"job4", b"job9")
    path.write_bytes(altered)
    with pytest.raises(IntegrityError, match="its last line does not have the hash"):
        written(path, 1)
    assert path.read_bytes() == altered


def test_a_log_that_was_moved_away_begins_anew(tmp_path: Path) -> None:
    """By the same object, as an operator rotates it."""
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    log.append(Entry(event="one"))
    path.rename(tmp_path / "old.log")
    log.append(Entry(event="two"))
    assert [line["event"] for line in lines(path)] == ["two"]
    assert verify(tmp_path / "old.log").lines == 1


def test_a_line_longer_than_any_is_not_read_into_memory(tmp_path: Path) -> None:
    """A gigabyte without a newline, of which almost nothing is on the disk."""
    path = tmp_path / "audit.log"
    written(path, 1)
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    faulty(path, 2, "is too long")


APPENDING = """
    import sys
    from pathlib import Path
    from glagol.web.audit_log import AuditLog, Entry
    log, name, count = AuditLog(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    for number in range(count):
        log.append(Entry(event="transcribed", job=f"{name}-{number}", detail="x" * 200))
        print(number, flush=True)
"""


def appending(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that appends, and says what was acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(APPENDING), str(path), name, str(count)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_and_threads_append_at_once(tmp_path: Path) -> None:
    """Two of each: one chain, in which the lines of each are in order and none is missing."""
    path, count = tmp_path / "audit.log", 40
    processes = [appending(path, f"process{n}", count) for n in range(2)]
    log = AuditLog(path)

    def thread(name: str) -> None:
        for number in range(count):
            log.append(Entry(event="transcribed", job=f"{name}-{number}"))

    threads = [threading.Thread(target=thread, args=(f"thread{n}",)) for n in range(2)]
    for one in threads:
        one.start()
    for process in processes:
        process.communicate()
    for one in threads:
        one.join()
    jobs = [line["job"] for line in lines(path)]
    assert len(jobs) == 4 * count
    for name in ("process0", "process1", "thread0", "thread1"):
        mine = [job for job in jobs if job.startswith(f"{name}-")]
        assert mine == [f"{name}-{number}" for number in range(count)]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """At random moments, seeded; the next process continues, and the log stays right."""
    path, dice = tmp_path / "audit.log", random.Random(5)  # noqa: S311
    acknowledged = []
    for turn in range(4):
        process = appending(path, f"turn{turn}", 10_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(dice.randrange(1, 40)):
            acknowledged.append(f"turn{turn}-{int(process.stdout.readline())}")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    written(path, 1)
    assert verify(path).fault == ""
    assert set(acknowledged) <= {line.get("job") for line in lines(path)}
