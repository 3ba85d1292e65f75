"""A home with a real model, a recording, and the command in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import sounds
from cli.running import Result
from glagol.cli.main import main
from homes import make_home


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read English, whatever the locale of the person who runs them."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that only read it; see `homes.make_home`."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    """For a test that breaks something."""
    return make_home(tmp_path / "own home")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Speech under a name with spaces and Cyrillic letters."""
    path = tmp_path / "Запись № 1.wav"
    path.write_bytes(sounds.clip())
    return path


@pytest.fixture
def glagol(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command with these arguments."""

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run
