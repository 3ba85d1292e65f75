"""The command in Russian: what is translated, that nothing is stale, and whose locale decides."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cli.running import Result
from glagol.cli import main, report
from glagol.cli.texts import catalogue
from glagol.cli.texts.catalogue import Catalogue, language
from glagol.core.errors import InputError

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]
TEXTS = tomllib.loads(Path(catalogue.__file__).with_name("ru.toml").read_text())
# commands that people meet first: no English sentence is left in their help
WHOLE = ("", "transcribe", "demo", "serve", "models list", "search", "ask", "index", "mcp")
PLACE = re.compile(r"\{\w+\}")


@pytest.fixture
def russian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The locale of a Russian user."""
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ru_UA.KOI8-U"}, "ru"),
        ({"LANG": "rundi"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, "ru"),
    ],
)
def test_the_locale_decides_as_posix_says(variables: dict[str, str], chosen: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG; an empty one does not count."""
    assert language(variables) == chosen


def test_patterns_carry_what_varies() -> None:
    """An exact text goes first; what is in no entry stays as it is."""
    made = Catalogue.of({"no {what} at {place}": "нет {what} на {place}", "no a at b": "точно"})
    assert made.text("no cat at  home") == "нет cat на home"
    assert made.text("no a at b") == "точно"
    assert made.text("a cat") == "a cat"
    nested = Catalogue.of({"warning: {what}": "внимание: {what}", "{n} s lost": "потеряно {n} с"})
    assert nested.text("warning: 5 s lost") == "внимание: потеряно 5 с"
    assert nested.text("warning: else") == "внимание: else"


@pytest.mark.usefixtures("russian")
@pytest.mark.parametrize("name", WHOLE)
def test_help_is_wholly_russian(glagol: Run, name: str) -> None:
    """Beside names, options and metavariables no run of English words is left."""
    shown = glagol(*name.split(), "--help").out
    assert "Вызов: glagol" in shown
    english = [
        found
        for line in shown.splitlines()
        for found in re.findall(r"(?:\b[A-Za-z]{2,}\b[ ,.;:]+){4,}", line)
        if "ASR_" not in line and ".srt" not in line
    ]
    assert not english


@pytest.mark.usefixtures("russian")
def test_errors_are_russian_and_keep_their_code(
    glagol: Run, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Message and remedy, of our own errors and of wrong usage; the code is for programs."""
    missing = glagol("transcribe", "--home", home, tmp_path / "нет.wav")
    assert missing.err == (
        f"glagol: {tmp_path}/нет.wav: нет такого файла или каталога [audio_not_found]\n"
        "  что делать: проверьте путь и имя файла\n"
    )
    assert missing.status == 2
    wrong = glagol("transcribe", "--modle", "x", "y").err
    assert "Нет такого параметра: '--modle'. Возможно, одно из: '--home', '--model'?" in wrong
    assert "что делать: параметры перечисляет `glagol transcribe --help`" in wrong
    capfd.readouterr()
    report.failure(InputError("audio_empty", "something new", "do this"))
    assert capfd.readouterr().err == "glagol: something new [audio_empty]\n  что делать: do this\n"


def strings(path: Path) -> Iterator[str]:
    """Every text of a file on one line, `{}` where something is filled in, by paragraphs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            text = "".join(map(str, parts))
        yield from (" ".join(part.split()) for part in text.split("\n\n"))


def test_no_entry_is_stale() -> None:
    """Each stands in our code or click's, so a changed text does not lose its translation."""
    files = [*(ROOT / "packages").glob("*/src/**/*.py"), *Path(click.__file__).parent.glob("*.py")]
    said = [re.sub(r"\{\w+(![rs])?\}", "{}", text) for file in files for text in strings(file)]
    bodies = "\n".join([*said, *map(os.strerror, range(1, 100))])
    stale = [
        text
        for text in TEXTS
        if not all(
            part.strip(" ().") in bodies for part in PLACE.split(text) if len(part.strip()) > 1
        )
    ]
    assert not stale, "\n".join(stale)


def test_every_entry_has_the_same_places() -> None:
    """What varies in the English text is in the Russian one, and in no other."""
    for text, other in TEXTS.items():
        assert set(PLACE.findall(text)) == set(PLACE.findall(other)), text


def test_help_of_every_command_is_laid_out(glagol: Run, russian: None) -> None:
    """A translated help of each command is shown without an error."""
    for name in main._COMMANDS:
        assert glagol(name, "--help").status == 0
