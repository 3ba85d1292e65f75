"""Documents agree with each other and with the source: commands, languages, alerts, settings."""

from __future__ import annotations

import json
import re
import sys

import pytest
import yaml

from glagol.asr.settings import Settings
from tidy import ROOT, where

sys.path.insert(0, str(ROOT / "build" / "documents"))
from commands import Block, blocks

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "README.ru.md", *GUIDES]
INDEXES = [ROOT / "docs" / "README.md", ROOT / "docs" / "README.ru.md"]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((ROOT / "deploy/grafana/glagol.json").read_text())["panels"]
README_LINES = 130


def commands(page: str) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """What the blocks of a page run, without their remarks."""

    def bare(block: Block) -> list[str]:
        lines = [re.sub(r"(^|\s+)#.*$", "", line).rstrip() for line in block.text.splitlines()]
        return [line for line in lines if line]

    text = (ROOT / page).read_text(encoding="utf-8")
    return [(block.language, block.words, bare(block)) for block in blocks(page, text)]


def test_the_readme_is_read_to_its_end() -> None:
    """In both languages."""
    for name in ("README.md", "README.ru.md"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= README_LINES, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_the_proof_runs(page: object) -> None:
    """Commands stand in fences that say what they need; an indented block is none."""
    text = (ROOT / str(page)).read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lists = re.compile(r"^(?:[-*]|\d+\.) .*(?:\n(?: {2,}.*|))*", re.MULTILINE)
    assert not re.findall(r"\n\n {4}\S.*", lists.sub("", outside))
    fences = re.findall(r"^```(\w*)", text, re.MULTILINE)[::2]
    assert set(fences) <= {"sh", "python", "text", "toml", "json", "js"}
    list(blocks(str(page), text))  # raises where a word is unknown


@pytest.mark.parametrize("page", [page for page in PAGES if page.name.endswith(".ru.md")], ids=str)
def test_both_languages_have_the_same_commands(page: object) -> None:
    """The proof runs the English page; the Russian one must not differ but in remarks."""
    english = str(page).replace(".ru.md", ".md")
    assert commands(str(page)) == commands(english)


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.name)
def test_the_index_names_every_page(index: object) -> None:
    """A guide in the reader's language where there is one."""
    text = (ROOT / str(index)).read_text(encoding="utf-8")
    russian = str(index).endswith(".ru.md")
    for page in GUIDES:
        translated = page.with_name(page.name.replace(".md", ".ru.md"))
        if page.name.endswith(".ru.md") == (russian and page.name.endswith(".ru.md")):
            wanted = translated if russian and translated in GUIDES else page
            assert f"(guides/{wanted.name})" in text, page.name


def test_alerts_are_those_of_the_runbook() -> None:
    """Each rule has its entry, in the same order; entries about llm-server and files have none."""
    entries = re.findall(r"^## (Asr\w+)", (ROOT / "RUNBOOK.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in RULES] == entries


def test_rules_and_dashboard_ask_for_metrics_that_exist() -> None:
    """Names and labels are those that the server's promise lists."""
    promised = json.loads((ROOT / "tests/surface/snapshot/asr-metrics.json").read_text())
    asked = [rule["expr"] for rule in RULES]
    asked += [target["expr"] for panel in PANELS for target in panel["targets"]]
    for expression in asked:
        for name, selected in re.findall(r"\b((?:asr|process)_\w+)(?:\{(.*?)\})?", expression):
            metric = re.sub(r"_(bucket|sum|count)$", "", name)
            assert metric in promised, name
            for label in re.findall(r"(\w+)=~?\"|(\w+)!~?=?\"", selected):
                found = next(filter(None, label))
                assert found in {*promised[metric]["labels"], "job", "instance"}, expression


def test_the_example_of_settings_names_settings() -> None:
    """Each line of asr.env is a variable that the server reads; all are commented out."""
    known = {row.name for row in Settings.rows()}
    lines = (ROOT / "deploy/env/asr.env").read_text().splitlines()
    shown = {line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z]", line)}
    assert shown
    assert shown <= known
    assert not [line for line in lines if line and not line.startswith("#")]


def test_documents_that_are_named_exist() -> None:
    """`docs/...` in remarks of deploy's files leads somewhere."""
    for path in (ROOT / "deploy").rglob("*"):
        if path.is_file() and path.suffix != ".json":
            for name in re.findall(r"docs/[\w/.-]+\.md", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), where(path)
