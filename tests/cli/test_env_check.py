"""env-check: each thing that can be wrong with a machine is found and comes with a remedy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from glagol.cli.commands import env_check
from glagol.cli.env_checks import asr, wsl
from glagol.runtime.kernels import amx

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with this repository's manifest and locks, and an empty store."""
    shutil.copy(ROOT / "manifest.json", tmp_path)
    shutil.copytree(ROOT / "lock", tmp_path / "lock")
    return tmp_path


def findings(home: Path, **changes: object) -> dict[str, asr.Finding]:
    """The report by check name; models are not asked for unless named."""
    asked = {"store": None, "lock": "tools", "device": "cpu", "models": ("silero-vad",)} | changes
    question = asr.Question(home=home, **asked)  # type: ignore[arg-type]
    return {finding.check: finding for finding in asr.run(question)}


def test_this_environment_equals_its_lock(home: Path) -> None:
    """Names, versions and every recorded file."""
    found = findings(home, lock="dev")
    assert found["lock"].status == "ok", found["lock"]
    assert found["records"].status == "ok", found["records"]
    assert found["onnxruntime"].status == "ok"


def test_the_lock_is_the_one_that_a_release_has(home: Path) -> None:
    """A bundle for CUDA is checked by its own lock when the card is left alone."""
    assert [env_check._lock_of(home, device) for device in ("cpu", "cuda")] == [
        "asr-cpu",
        "asr-cuda",
    ]
    (home / "lock" / "asr-cpu.txt").unlink()
    assert env_check._lock_of(home, "cpu") == "asr-cuda"
    (home / "lock" / "asr-cuda.txt").unlink()
    assert env_check._lock_of(home, "cpu") == "asr-cpu"


def test_another_version_is_named(home: Path) -> None:
    """A lock that asks for another msgspec: the finding names both versions."""
    lock = home / "lock" / "dev.txt"
    text = lock.read_text()
    version = text.partition("msgspec==")[2].partition(" ")[0]
    lock.write_text(text.replace(f"msgspec=={version}", "msgspec==0.0.1"))
    (found,) = asr._lock(asr.Question(home, None, "dev", "cpu", ()))
    assert found.status == "fail"
    assert f"msgspec is {version}, not 0.0.1" in found.found
    assert "lock/dev.txt" in found.remedy


def test_every_failure_has_a_remedy(home: Path) -> None:
    """An empty store, CUDA asked for where there is none, a lock that does not exist."""
    failed = {
        name: finding
        for changes in ({}, {"device": "cuda"}, {"lock": "absent"})
        for name, finding in findings(home, **changes).items()
        if finding.status == "fail"
    }
    assert "model silero-vad/cpu-fp32" in failed
    assert "lock" in failed
    assert all(finding.remedy for finding in failed.values())


HAS = asr.AMX_FLAGS
KEPT = "the processor has AMX, but the kernel keeps it from this process"


@pytest.mark.parametrize(
    ("obstacle", "flags", "device", "status", "words"),
    [
        ("", HAS, "cpu", "ok", "in use"),
        ("", HAS, "cuda", "ok", "not in use: CUDA computes the products"),
        (amx.REFUSED, set(), "cpu", "ok", "not in use: the processor has no AMX"),
        (amx.REFUSED, HAS, "cpu", "warn", f"not in use: {KEPT}"),
        ("made for this, not that", set(), "cpu", "ok", "not in use: made for this, not that"),
        ("cannot be loaded: why", HAS, "cpu", "warn", "not in use: cannot be loaded: why"),
    ],
)
def test_the_matrix_unit_is_listed_with_the_reason(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str,
    flags: set[str],
    device: Literal["cpu", "cuda"],
    status: str,
    words: str,
) -> None:
    """No failure in any case; a remedy where the processor has what is not used; the digest."""
    monkeypatch.setattr(amx, "obstacle", lambda: obstacle)
    monkeypatch.setattr(asr, "_flags", lambda: flags)
    (found,) = asr._matrix_unit(asr.Question(home, None, "tools", device, ()))
    assert found.status == status
    assert bool(found.remedy) is (status == "warn")
    reason, _, digest = found.found.rpartition(" library sha256 ")
    assert reason[:-1] == words
    assert digest == hashlib.sha256(Path(amx.library_file()).read_bytes()).hexdigest()


def test_the_matrix_unit_of_this_machine(home: Path) -> None:
    """Nothing replaced: what a server would use, and no failure without it."""
    found = findings(home)["matrix unit"]
    assert found.status != "fail"
    assert found.found.startswith("in use, " if not amx.obstacle() else "not in use: ")


def test_a_release_without_its_library_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It belongs to a release for every processor."""
    monkeypatch.setattr(amx, "library_file", lambda: str(tmp_path / "absent.so"))
    found = findings(home)["matrix unit"]
    assert found.status == "fail"
    assert "absent.so" in found.found


def test_broken_manifest_is_a_finding_not_a_crash(home: Path) -> None:
    """The report continues after it."""
    (home / "manifest.json").write_text("{}")
    assert findings(home)["manifest"].status == "fail"


def test_command_exits_with_the_host_status_and_prints_json(home: Path) -> None:
    """The wrong lock: exit 5, findings readable by a program."""
    command = [sys.executable, "-m", "glagol.cli", "env-check", "--json", "--lock", "tools"]
    done = subprocess.run(
        [*command, "--home", home, "silero-vad"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 5, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    named = {"python", "libc", "clock", "disk", "cpu", "matrix unit"}
    assert {f["check"] for f in answer["findings"]} >= named


@pytest.mark.parametrize(
    ("kernel", "store", "expected"),
    [
        ("Linux version 6.1.0-21-amd64 (debian-kernel)", "/mnt/c/store", []),
        ("Linux version 6.6.87.2-microsoft-standard-WSL2 (root@x)", "/home/a", [("wsl", "ok")]),
        (
            "Linux version 5.15.90.1-microsoft-standard-WSL2 (root@x)",
            "/mnt/c/Users/a/store",
            [("wsl", "ok"), ("wsl disk", "warn")],
        ),
        ("Linux version 4.4.0-19041-Microsoft (Microsoft@x)", "/mnt/cd", [("wsl", "fail")]),
    ],
)
def test_windows_subsystem_is_named(
    kernel: str, store: str, expected: list[tuple[str, str]]
) -> None:
    """WSL2 is fine, WSL1 is not, and Windows' own disks are slow; no other system has a line."""
    found = list(wsl.facts(kernel, Path(store)))
    assert [(check, status) for check, status, _, _ in found] == expected
    assert all(bool(remedy) == (status != "ok") for _, status, _, remedy in found)
