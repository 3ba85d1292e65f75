"""The hosted workflow runs what `.ci/run` runs, and takes actions of others by commit alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".ci" / "run"
WORKFLOWS = ROOT / ".github" / "workflows"
# what a bare Debian image needs before `.ci/run` can start
BEFORE = {"ca-certificates", "git", "python3.11", "python3-pip"}

if not RUN.is_file():
    pytest.skip("this tree has no .ci", allow_module_level=True)


def steps() -> list[str]:
    """The steps of `.ci/run` in their order."""
    found = re.search(r"^STEPS='([a-z0-9 -]+)'$", RUN.read_text(), re.MULTILINE)
    assert found
    return found[1].split()


def commands(text: str) -> list[str]:
    """The `run:` lines of a workflow without their comments."""
    found = re.findall(r"^\s*(?:- )?run: *(.*)$", text, re.MULTILINE)
    return [command.partition(" #")[0].strip() for command in found]


def test_the_workflow_has_a_job_for_each_step() -> None:
    """The matrix is the list of `.ci/run`, word for word."""
    text = (WORKFLOWS / "ci.yml").read_text()
    matrix = re.search(r"^\s+step: \[(.*)\]$", text, re.MULTILINE)
    assert matrix
    assert matrix[1].split(", ") == steps()


def test_the_workflow_does_nothing_of_its_own() -> None:
    """Each job starts `.ci/run` with its step; recipes and packages are named there alone."""
    found = commands((WORKFLOWS / "ci.yml").read_text())
    assert found.count(".ci/run ${{ matrix.step }}") == 1
    assert not [command for command in found if "./just" in command]
    installed = {
        word
        for command in found
        for part in re.findall(r"apt-get install ([^&|;]*)", command)
        for word in part.split()
        if not word.startswith("-")
    }
    assert installed == BEFORE


def test_every_recipe_and_proof_of_a_step_exists() -> None:
    """A step is a proof in build/, or `.ci/run` says what else it is."""
    text = RUN.read_text()
    labels = {
        label.strip()
        for labels in re.findall(r"^        ([a-z0-9| -]+)\)", text, re.MULTILINE)
        for label in labels.split("|")
    }
    proofs = set(steps()) - labels
    assert proofs
    assert not [name for name in proofs if not (ROOT / "build" / f"proof-{name}").is_file()]
    justfile = (ROOT / "Justfile").read_text()
    for recipe in re.findall(r"\./just ([a-z][a-z-]*)", text):
        assert re.search(rf"^{recipe}( [*+]?[A-Z]+(=\S+)?)*:", justfile, re.MULTILINE), recipe


def test_the_debian_packages_are_a_sorted_list() -> None:
    """One name a line, so that any program can read it."""
    names = (ROOT / ".ci" / "packages.txt").read_text().splitlines()
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)


def test_an_unknown_step_is_refused() -> None:
    """A misspelt step must not pass as an empty one; nothing is installed or run before."""
    done = subprocess.run(["bash", RUN, "chek"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no step chek" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code; the version stands beside the commit for the reader."""
    used = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    pinned = re.compile(r"(- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert not [line for line in used if not pinned.fullmatch(line)]
