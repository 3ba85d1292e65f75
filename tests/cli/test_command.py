"""The command itself: start, help, version, errors by the table, settings of `serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.running import Result
from glagol.cli import main, report
from glagol.core.errors import CODES
from glagol.core.version import VERSION

Run = Callable[..., Result]
PACKAGES = Path(__file__).resolve().parents[2] / "packages"
HEAVY = ("numpy", "onnxruntime", "av", "soxr", "litestar", "granian", "obstore", "rich", "msgspec")


def test_help_imports_nothing_heavy() -> None:
    """What a subcommand needs is imported by that subcommand."""
    code = (
        "import sys; from glagol.cli.main import main; status = main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], status)"
    )
    sources = os.pathsep.join(map(str, PACKAGES.glob("*/src")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": sources},
    )
    assert done.stdout.endswith("[] 0\n")
    for name in ("transcribe", "serve", "models", "demo", "env-check"):
        assert name in done.stdout


def test_every_command_has_its_help(glagol: Run) -> None:
    """Each of them imports and explains itself."""
    for name in (*main._COMMANDS, "models list", "models verify", "models fetch", "models build"):
        result = glagol(*name.split(), "--help")
        assert result.status == 0
        assert "Usage: glagol" in result.out


def test_the_version_is_the_packages(glagol: Run) -> None:
    """The first line has the one version of all packages; manifest and default model follow."""
    lines = glagol("--version").out.splitlines()
    assert lines[0] == f"glagol, version {VERSION}"
    manifest = json.loads((PACKAGES.parent / "manifest.json").read_bytes())
    assert f"version {manifest['manifest_version']}, sha256" in lines[2]
    assert lines[3].split() == ["model", manifest["defaults"]["asr"]]


@pytest.mark.parametrize("code", CODES)
def test_every_error_is_printed_by_the_table(code: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Code, message, remedy, and the table's exit status."""
    error = CODES[code].family(code, "что случилось", "что делать")
    assert report.failure(error, subject="файл") == CODES[code].exit_status
    assert capfd.readouterr().err == (
        f"glagol: файл: что случилось [{code}]\n  what to do: что делать\n"
    )


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is no GlagolError reaches Python: traceback, exit 1."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main.glagol, "main", broken)
    with pytest.raises(ZeroDivisionError):
        main.main([])


def test_wrong_usage_and_settings_exit_with_two(
    glagol: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown commands and options, and a bad ASR_* value under `serve`, from either place."""
    assert glagol("explode").status == 2
    assert glagol("transcribe").status == 2
    assert glagol("transcribe", "--loud", "x").status == 2
    result = glagol("serve", "--home", home, "--port", "99999")
    assert result.status == 2
    line = json.loads(result.err.splitlines()[-1])
    assert line["code"] == "setting_invalid"
    assert "ASR_PORT='99999' is not a whole number 1..65535" in line["message"]
    monkeypatch.setenv("ASR_QUEUE_SIZE", "none")
    assert "ASR_QUEUE_SIZE='none'" in glagol("serve", "--home", home).err
