"""Where the outside world enters: clock, chance, network, environment, paths; by module."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidy import imports, module_name, sources, tree

TABLE = Path(__file__).with_name("world.toml")
# what a module imports to reach it; urllib.parse and the constants of http reach nothing
MODULES = {
    "clock": ("time", "datetime", "sched", "zoneinfo"),
    "chance": ("random", "secrets", "uuid"),
    "network": ("socket", "socketserver", "ssl", "http.client", "http.server", "urllib.request"),
    "files": ("tempfile",),
}
# and the names that it reads of modules which are imported for other things too
NAMES = {
    "environment": ("os.environ", "os.environb", "os.getenv", "os.putenv"),
    "chance": ("os.urandom", "os.getrandom"),
    "files": ("os.getcwd", "os.chdir", "Path.cwd", "Path.home"),
}


def reached(code: ast.Module, imported: set[str]) -> set[str]:
    """The kinds of the outside world that a module reaches."""
    named = {ast.unparse(node) for node in ast.walk(code) if isinstance(node, ast.Attribute)}
    named |= imported
    found = {
        kind
        for kind, modules in MODULES.items()
        if any(name == m or name.startswith(m + ".") for name in imported for m in modules)
    }
    found |= {kind for kind, names in NAMES.items() if named & set(names)}
    return found | ({"files"} if any(name.endswith(".expanduser") for name in named) else set())


def uses() -> Iterator[tuple[str, str]]:
    """(kind, module) of every module that reaches something."""
    for path in sources():
        for kind in reached(tree(path), imports(path)):
            yield kind, module_name(path)


def test_the_outside_world_enters_where_the_table_says() -> None:
    """A module that is not listed reaches nothing, and each that is listed does."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    allowed = {(kind, name) for kind, names in rows.items() for name in names}
    found = set(uses())
    assert not sorted(found - allowed), f"not in {TABLE.name}"
    assert not sorted(allowed - found), f"in {TABLE.name} and reaches nothing of the kind"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import time", {"clock"}),
        ("from datetime import date", {"clock"}),
        ("import os; x = os.environ['A']", {"environment"}),
        ("from os import environ", {"environment"}),
        ("import os; x = os.urandom(4)", {"chance"}),
        ("from pathlib import Path; x = Path.cwd()", {"files"}),
        ("x = root.expanduser()", {"files"}),
        ("from http.client import HTTPConnection", {"network"}),
        ("from http import HTTPStatus; from urllib.parse import quote", set()),
        ("import os; os.replace(a, b)", set()),
    ],
)
def test_the_rule_sees_what_it_must(text: str, expected: set[str]) -> None:
    """By import and by name; what only computes is free."""
    code = ast.parse(text)
    imported = set()
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    assert reached(code, imported) == expected
