"""Which Python ./just and install.sh take, what they say without one, and what read-only does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEEN = "{version} {kind} {path}\n"


def fake(folder: Path, name: str, version: str, kind: str = "CPython") -> None:
    """A program that answers as a Python of this version does."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {version} {kind} {path}\n")
    path.chmod(0o755)


def tools(folder: Path, *names: str) -> None:
    """Those programs of the system that the script needs, so that no Python of it is found."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or name)


def found(path: Path, **settings: str) -> tuple[str, str]:
    """(version that is taken, else empty; what else was seen)."""
    script = f'. "{ROOT}/build/find-python"; find_python || true; echo "$python|$found"'
    command = ["/bin/sh", "-euc", script]
    environment = {"PATH": str(path), **settings}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    python, _, other = done.stdout.strip().rpartition("\n")[2].partition("|")
    return Path(python).name, other


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_each_supported_python_is_taken_under_any_name(tmp_path: Path, version: str) -> None:
    """`python3` alone is enough, as most distributions have it."""
    fake(tmp_path, "python3", version)
    assert found(tmp_path) == ("python3", "")


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    """Too old, too new, another implementation, no global lock: each is said once."""
    fake(tmp_path, "python3", "3.10")
    fake(tmp_path, "python", "3.15")
    fake(tmp_path, "python3.13", "3.13", "CPython-free-threaded")
    fake(tmp_path, "python3.11", "3.11", "PyPy")
    assert found(tmp_path) == (
        "",
        "PyPy 3.11, CPython-free-threaded 3.13, CPython 3.10, CPython 3.15",
    )


def test_the_named_python_comes_first_and_alone(tmp_path: Path) -> None:
    """A choice that does not fit is not silently replaced by another."""
    fake(tmp_path, "python3.11", "3.11")
    fake(tmp_path, "mine", "3.13")
    assert found(tmp_path, GLAGOL_PYTHON="mine") == ("mine", "")
    fake(tmp_path, "mine", "3.9")
    assert found(tmp_path, GLAGOL_PYTHON="mine") == ("", "CPython 3.9")


def test_the_python_of_uv_is_found(tmp_path: Path) -> None:
    """Where PATH has none but uv knows one."""
    fake(tmp_path / "own", "python3.12", "3.12")
    (tmp_path / "uv").write_text(f"#!/bin/sh\necho {tmp_path}/own/python3.12\n")
    (tmp_path / "uv").chmod(0o755)
    assert found(tmp_path) == ("python3.12", "")


def test_the_running_python_is_what_it_says() -> None:
    """The question is put to a real interpreter."""
    folder = Path(sys.executable).parent
    name, _ = found(folder, GLAGOL_PYTHON=sys.executable)
    assert name == Path(sys.executable).name


def test_without_a_python_just_names_the_command_that_brings_one(tmp_path: Path) -> None:
    """Exit 5; the hint offers uv's own only where uv is."""
    fake(tmp_path, "python3", "3.10")
    tools(tmp_path, "cksum", "cat", "mkdir", "rm", "mv")
    for uv in (False, True):
        if uv:
            (tmp_path / "uv").write_text("#!/bin/sh\nexit 2\n")
            (tmp_path / "uv").chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", ROOT / "just", "demo"],
            env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert done.returncode == 5
        assert "found: CPython 3.10" in done.stderr
        offered = "uv python install 3.13" in done.stderr
        # uv that an earlier call put into .tools counts as well
        assert offered == (uv or os.access(ROOT / ".tools" / "bin" / "uv", os.X_OK))


def test_a_bundle_says_the_same_without_a_python(tmp_path: Path) -> None:
    """install.sh finds a Python by the same file."""
    media, path = tmp_path / "media", tmp_path / "path"
    (media / "src" / "build").mkdir(parents=True)
    shutil.copy(ROOT / "build" / "find-python", media / "src" / "build")
    shutil.copy(ROOT / "packages/bundle/src/glagol/bundle/install.sh", media)
    tools(path, "dirname")
    fake(path, "python3", "3.10")
    done = subprocess.run(
        ["/bin/sh", media / "install.sh", tmp_path / "target"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 5
    assert "found: CPython 3.10) [bundle_platform]" in done.stderr
    assert "what to do:" in done.stderr
    assert not (tmp_path / "target").exists()
