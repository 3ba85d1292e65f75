"""What the programs promise without running as servers; every import of their insides is here.

A move of modules changes the import lines below and nothing else of this directory.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from glagol.asr.settings import Settings as AsrSettings
from glagol.cli.main import glagol as command
from glagol.cli.main import main as run
from glagol.core import errors
from glagol.core.errors import CODES, GlagolError
from glagol.core.settings import NetworkSettings
from glagol.embed.settings import Settings as EmbedSettings
from glagol.gateway.settings import Settings as GatewaySettings
from glagol.llm.settings import Settings as LlmSettings
from glagol.rag.http.settings import Settings as RagSettings
from glagol.web.errors import fault_of

__all__ = ["codes", "commands", "new_key", "settings", "variables"]

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
_SETTINGS: dict[str, type[NetworkSettings]] = {
    "asr-server": AsrSettings,
    "embed-server": EmbedSettings,
    "rag-server": RagSettings,
    "gateway-server": GatewaySettings,
    "llm-server": LlmSettings,
}
_VARIABLE = re.compile(r"(?:ASR|LLM|EMBED|RAG|GLAGOL|ORT|OTEL|XDG|CUDA|HF|VLLM)_[A-Z0-9_]*[A-Z0-9]")


def settings() -> dict[str, Any]:
    """Variables of both servers with what they take, their default and whether they are secret."""
    return {
        program: {
            row.name: {
                "takes": row.takes.words,
                "default": row.default,
                "type": type(row.default).__name__,
                "secret": row.secret,
            }
            for row in table.rows()
        }
        for program, table in _SETTINGS.items()
    }


def variables() -> list[str]:
    """Every environment variable that a row of settings has or the sources name whole."""
    found = {row.name for table in _SETTINGS.values() for row in table.rows()}
    for path in PACKAGES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and _VARIABLE.fullmatch(value):
                found.add(value)
    return sorted(found)


def commands() -> dict[str, Any]:
    """Every command below `glagol`, by its words."""
    return {" ".join(words): _command(each) for words, each in _walk(("glagol",), command)}


def codes() -> dict[str, Any]:
    """Every error code: statuses, family, whether to come back, the parameter that it names."""
    table = {}
    for code, about in sorted(CODES.items()):
        fault = fault_of(about.family(code, "", ""), "/")
        table[code] = {
            "http_status": about.http_status,
            "exit_status": about.exit_status,
            "family": about.family.__name__,
            "summary": about.summary,
            "retry_after": about.retry,
            "parameter": fault.parameter,
        }
    exits = {
        "a bug": errors.EXIT_BUG,
        "interrupted": errors.EXIT_INTERRUPTED,
        "help": run(["--help"]),
        "an unknown command": run(["unheard-of"]),
        "an unknown option": run(["--unheard-of"]),
    }
    return {"codes": table, "exits": exits, "families": _families()}


def new_key(state: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Add an administrator's key to a state directory by the command; the key's text."""
    state.mkdir()
    assert run(["keys", "--state", str(state), "add", "owner", "--scope", "admin"]) == 0
    found = re.search(r"glagol_[\w-]{43}", capsys.readouterr().out)
    assert found is not None
    return found[0]


def _families() -> dict[str, list[int]]:
    families: dict[str, set[int]] = {each.__name__: set() for each in GlagolError.__subclasses__()}
    for about in CODES.values():
        families[about.family.__name__].add(about.exit_status)
    return {name: sorted(statuses) for name, statuses in families.items()}


def _walk(words: tuple[str, ...], each: click.Command) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, each
    if isinstance(each, click.Group):
        context = click.Context(each)
        for name in each.list_commands(context):
            inner = each.get_command(context, name)
            assert inner is not None
            yield from _walk((*words, name), inner)


def _command(each: click.Command) -> dict[str, Any]:
    """Options and arguments of a command but --help; what is false or empty is left out."""
    context = click.Context(each)
    parameters = {}
    for about in each.to_info_dict(context)["params"]:
        names = sorted([*about["opts"], *about["secondary_opts"]], key=len, reverse=True)
        if names[0] == "--help":  # click makes it, and keeps it as the first context asked for it
            continue
        kind = {name: value for name, value in about["type"].items() if name != "name"}
        said = {
            "also": names[1:],
            "kind": about["param_type_name"],
            "required": about["required"],
            "default": _plain(about["default"]),
            "flag": about.get("is_flag"),
            "multiple": about["multiple"],
            "nargs": about["nargs"] if about["nargs"] != 1 else None,
            "variable": about.get("envvar"),
            "hidden": about.get("hidden"),
            "type": {name: _plain(value) for name, value in kind.items() if value},
        }
        parameters[names[0]] = {name: value for name, value in said.items() if value}
    return parameters


def _plain(value: Any) -> Any:
    """A default as JSON has it; what depends on the machine has no value of its own."""
    if callable(value) or type(value).__name__ == "Sentinel":
        return None
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
