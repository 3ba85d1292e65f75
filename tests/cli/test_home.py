"""Where the command finds manifest and models when no option says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glagol.cli import home
from homes import ROOT, make_home

BLOB = "store/sha256/ab/" + "c" * 62


def packaged(folder: Path, manifest: bytes = b'{"manifest_version": 1}', commit: str = "1") -> Path:
    """What a package carries, with one blob."""
    for name, data in {
        "manifest.json": manifest,
        "commit": commit.encode(),
        "lock/asr-cpu.txt": b"sound==1.0\n",
        BLOB: b"weights",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """XDG_DATA_HOME."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_an_installed_command_fills_the_users_folder(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; what the user fetched and a second call leave it as it is."""
    source = packaged(tmp_path / "package")
    monkeypatch.setattr(home, "packaged_home", lambda: source)
    assert home.default_home() == data / "glagol"
    assert (data / "glagol" / BLOB).read_bytes() == b"weights"
    assert (data / "glagol" / "lock" / "asr-cpu.txt").is_file()
    (data / "glagol" / "store" / "mine").write_bytes(b"fetched")
    before = {path: path.stat().st_mtime_ns for path in (data / "glagol").rglob("*")}
    assert home.default_home() == data / "glagol"
    assert {path: path.stat().st_mtime_ns for path in (data / "glagol").rglob("*")} == before


def test_an_upgrade_brings_its_manifest_but_never_over_an_edit(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`models use` and `models add` edit the user's; a later release does not undo that."""
    source = packaged(tmp_path / "package")
    monkeypatch.setattr(home, "packaged_home", lambda: source)
    own = home.default_home() / "manifest.json"
    packaged(source, b'{"manifest_version": 2}', "2")
    home.default_home()
    assert own.read_bytes() == b'{"manifest_version": 2}'
    own.write_bytes(b'{"manifest_version": 3}')
    packaged(source, b'{"manifest_version": 4}', "4")
    home.default_home()
    assert own.read_bytes() == b'{"manifest_version": 3}'
    assert own.with_name("manifest.new.json").read_bytes() == b'{"manifest_version": 4}'
    assert "was edited and is kept" in capsys.readouterr().err
    home.default_home()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["/proc", "/proc/self/status"])
def test_no_writable_home_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Not even root can write into /proc: then the package itself serves."""
    source = packaged(tmp_path / "package")
    monkeypatch.setattr(home, "packaged_home", lambda: source)
    monkeypatch.setenv("XDG_DATA_HOME", place)
    assert home.default_home() == source


def test_a_checkout_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current directory counts only when it holds a manifest."""
    monkeypatch.chdir(tmp_path)
    assert home.default_home() == ROOT
    make_home(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    assert json.loads((home.default_home() / "manifest.json").read_bytes())["models"]
    assert home.default_home() == Path()
