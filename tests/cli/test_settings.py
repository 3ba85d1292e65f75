"""Each setting is one row: the reference, the help, compose.yaml and the readers agree with it."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.running import Result
from glagol.asr.settings import SERVER_ONLY
from glagol.asr.settings import Settings as AsrSettings
from glagol.cli.commands.settings import sections
from glagol.core.settings import NetworkSettings, Row
from glagol.core.settings_page import FILES, help_lines, markdown
from glagol.embed.settings import Settings as EmbedSettings
from glagol.gateway.settings import Settings as GatewaySettings
from glagol.llm.settings import Settings as LlmSettings
from glagol.rag.http.settings import Settings as RagSettings
from glagol.web.access.policy import Policy, parse

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SERVERS: dict[str, type[NetworkSettings]] = {
    "asr": AsrSettings,
    "embed": EmbedSettings,
    "gateway": GatewaySettings,
    "llm": LlmSettings,
    "rag": RagSettings,
}
VARIABLES: dict[str, Row] = {
    row.name: row for settings in SERVERS.values() for row in settings.rows()
}
COLUMNS_MAX = 80


def attributes_read(package: str) -> set[str]:
    """Names that the code of a package reads from something called `settings`."""
    found = set()
    for path in (ROOT / "packages" / package / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                holder = node.value
                name = getattr(holder, "id", getattr(holder, "attr", ""))
                if name.strip("_") == "settings":
                    found.add(node.attr)
    return found


def test_the_reference_is_made_from_the_rows() -> None:
    """The committed pages have the bytes that `glagol settings --write` writes now."""
    for language, name in FILES.items():
        page = (REFERENCE / name).read_text(encoding="utf-8")
        assert page == markdown(sections(), language), "run glagol settings --write docs/reference"


@pytest.mark.parametrize("name", FILES.values())
def test_every_row_is_in_the_reference(name: str) -> None:
    """Each variable and each value of policy.toml has one line in each language."""
    page = (REFERENCE / name).read_text(encoding="utf-8").splitlines()
    for part in sections():
        assert part.rows
        for row in part.rows:
            assert len([line for line in page if line.startswith(f"| `{row.name}` |")]) == 1


def test_every_row_says_what_it_means() -> None:
    """There are sentences in both languages, and no two rows of a server fill one attribute."""
    for part in sections():
        for row in part.rows:
            assert row.text.endswith(".")
            assert row.text_ru.endswith(".")
            assert re.search("[а-я]", row.text_ru)
            assert not re.search("[а-я]", row.text)
        assert len({row.name for row in part.rows}) == len(part.rows)


@pytest.mark.parametrize("package", SERVERS)
def test_every_variable_is_read(package: str) -> None:
    """No row is left over: the server, or what servers share, reads each attribute."""
    wanted = {row.attribute for row in SERVERS[package].rows()}
    shared = attributes_read("web") | attributes_read("registry")
    assert not wanted - attributes_read(package) - shared


@pytest.mark.parametrize("name", VARIABLES)
def test_a_default_is_a_value_that_the_row_takes(name: str) -> None:
    """What the reference shows as the default can be set; empty stands for unset."""
    row = VARIABLES[name]
    prefix, _, _ = name.partition("_")
    settings = SERVERS[prefix.lower()]
    assert getattr(settings(), row.attribute) == row.default
    if row.default != "":
        given = settings.from_environment({name: str(row.default)})
        assert getattr(given, row.attribute) == row.default


def test_policy_rows_are_the_types() -> None:
    """Every value of the file has a row, and a file of all defaults is the default policy."""
    rows = next(part.rows for part in sections() if part.title == "policy.toml")
    policy = Policy()
    names = [
        f"{section}.{name}"
        for section in policy.__struct_fields__
        for name in getattr(policy, section).__struct_fields__
    ]
    assert [row.name for row in rows] == names
    lines = []
    for row in rows:
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        lines.append(f"{row.name} = {json.dumps(default)}")
    assert parse("\n".join(lines).encode()) == policy


@pytest.mark.parametrize("name", ["access.md", "access.ru.md"])
def test_the_example_of_a_policy_is_the_defaults(name: str) -> None:
    """The file shown in docs/access has every value, each with its default."""
    text = (ROOT / "docs" / "guides" / name).read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert parse(example.encode()) == Policy()
    rows = next(part.rows for part in sections() if part.title == "policy.toml")
    shown = [f"{part}.{key}" for part, keys in tomllib.loads(example).items() for key in keys]
    assert shown == [row.name for row in rows]


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("serve", AsrSettings),
        ("worker", AsrSettings),
        ("serve-gateway", GatewaySettings),
        ("serve-llm", LlmSettings),
    ],
)
def test_help_lists_the_variables(
    glagol: Run, command: str, settings: type[NetworkSettings]
) -> None:
    """Each variable that the command uses is there with its default, within 80 columns."""
    out = glagol(command, "--help").out
    assert all(len(line) <= COLUMNS_MAX for line in out.splitlines())
    words = " ".join(out.split())
    for name, meaning in help_lines(settings.rows()):
        used = command != "worker" or name not in SERVER_ONLY
        assert (f"{name} {meaning}" in words) == used


def test_the_command_lists_ranges_and_writes_the_reference(glagol: Run, tmp_path: Path) -> None:
    """`glagol settings` names every row with its range; `--write` makes both pages."""
    out = glagol("settings").out
    assert all(len(line) <= COLUMNS_MAX for line in out.splitlines())
    words = " ".join(out.split())
    for part in sections():
        for row in part.rows:
            assert f"{row.name} {row.text} Takes {row.takes.words}." in words
    assert glagol("settings", "--write", tmp_path).status == 0
    assert {path.name for path in tmp_path.iterdir()} == set(FILES.values())
    for name in FILES.values():
        assert (tmp_path / name).read_bytes() == (REFERENCE / name).read_bytes()
    assert glagol("settings", "--write", tmp_path / "absent").status == 2


def test_compose_repeats_no_default() -> None:
    """compose.yaml passes variables that exist, and its own values differ from the defaults."""
    path = ROOT / "compose.yaml"
    if not path.is_file():
        pytest.skip("this tree holds no compose.yaml")
    found = re.findall(
        r"^ +((?:ASR|EMBED|GATEWAY|LLM|RAG)_\w+): (.*)$", path.read_text(), re.MULTILINE
    )
    assert found
    for name, value in found:
        assert name in VARIABLES, name
        own = re.sub(rf"\$\{{{name}:-(.*)\}}", r"\1", value)
        assert "$" not in own, "it passes another variable"
        if own:
            assert VARIABLES[name].read(own) != VARIABLES[name].default, name
