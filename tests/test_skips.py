"""Skips are counted and judged: a reason that is not listed fails, so does one that is not true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "build"))

import skips  # noqa: E402

LIST = """
[[skip]]
source = "test"
reason = "no (left|right) hand"
why = "hands are rare"
here = "test -e HAND"

[[skip]]
source = "one|two"
reason = "docker: .*"
why = "it needs a daemon"
"""
LOG = """
== one: first (0s)
SKIPPED: one: docker: a reason with a number: 7
SKIPPED: one: docker: a reason with a number: 7
SKIPPED: test: no left hand: 12
  SKIPPED: test: no left hand: 3
not SKIPPED: test: x: 1
"""


def judged(log: str, hand: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """Count and complaint by source and reason."""
    allowed = skips.read(LIST.replace("HAND", str(hand)))
    lines = skips.judged(skips.counted(log), allowed)
    return {(source, reason): (count, verdict) for count, source, reason, verdict in lines}


def test_skips_are_counted_by_reason(tmp_path: Path) -> None:
    """Cases of tests by their number, proofs by their lines."""
    assert judged(LOG, tmp_path / "none") == {
        ("one", "docker: a reason with a number: 7"): (2, ""),
        ("test", "no left hand"): (15, ""),
    }


def test_a_skip_that_is_not_true_is_wrong(tmp_path: Path) -> None:
    """What is said to be missing is here: the command of the entry finds it."""
    hand = tmp_path / "hand"
    hand.touch()
    (count, verdict) = judged(LOG, hand)["test", "no left hand"]
    assert count == 15
    assert verdict == f"WRONG, it is here: test -e {hand}"


@pytest.mark.parametrize(
    "line",
    ["SKIPPED: test: no foot: 1", "SKIPPED: three: docker: x", "SKIPPED: test: no left handle: 1"],
)
def test_a_reason_that_is_not_listed_is_reported(tmp_path: Path, line: str) -> None:
    """Another reason, another source, more than the reason."""
    ((_, verdict),) = judged(line, tmp_path / "none").values()
    assert verdict == "NOT IN tests/skips.toml"


def test_the_script_ends_as_it_should(tmp_path: Path) -> None:
    """Exit status 0 without skips and 1 with one that is not listed, which it names."""
    log = tmp_path / "log"
    for text, status in (("all is well\n", 0), ("SKIPPED: test: no foot: 2\n", 1)):
        log.write_text(text)
        done = subprocess.run(
            [sys.executable, ROOT / "build/skips.py", log], capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout
    assert "     2 test: no foot  [NOT IN tests/skips.toml]" in done.stdout


def test_the_list_is_in_order() -> None:
    """Every entry has a reason that compiles, and says when it is allowed."""
    entries = skips.read((ROOT / "tests/skips.toml").read_text())
    assert all(re.compile(each.reason) and re.compile(each.source) for each in entries)
    assert all(each.why for each in entries)
    assert len({(each.source, each.reason) for each in entries}) == len(entries)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["0", "1"])
def test_pytest_tells_each_reason_with_its_count(tmp_path: Path, parallel: str) -> None:
    """Cases, and modules that skip themselves, in one process and in several."""
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    (tmp_path / "test_whole.py").write_text(
        "import pytest\npytest.importorskip('nothing_of_this_name')\n"
    )
    (tmp_path / "test_cases.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_a(n): pytest.skip('no  left\\nhand')\n\n"
        "@pytest.mark.skipif(True, reason='no head')\ndef test_b(): pass\n\n"
        "def test_c(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", parallel]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    found = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED: ")]
    module = "'nothing_of_this_name'"
    assert found == [
        f"SKIPPED: test: could not import {module}: No module named {module} (a whole module): 1",
        "SKIPPED: test: no head: 1",
        "SKIPPED: test: no left hand: 3",
    ], done.stdout
