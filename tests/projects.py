"""What the packages of this repository declare in their project files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = "glagol-"


@dataclass(frozen=True, slots=True)
class Project:
    """A package of packages/.

    Attributes:
        folder: its folder, which has the name of its module below `glagol`.
        data: its pyproject.toml.
        needs: canonical names of the distributions that it always needs.
        extras: canonical names of the distributions that each extra adds.
        extra_modules: dotted names of the modules that need an extra, by extra.
    """

    folder: Path
    data: Mapping[str, Any]
    needs: frozenset[str]
    extras: Mapping[str, frozenset[str]]
    extra_modules: Mapping[str, tuple[str, ...]]

    @property
    def packages(self) -> frozenset[str]:
        """Folders of the packages of this repository that it always needs."""
        return frozenset(n.removeprefix(OURS) for n in self.needs if n.startswith(OURS))


def _names(requirements: list[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(Requirement(text).name) for text in requirements)


@cache
def projects() -> Mapping[str, Project]:
    """The projects by the names of their folders."""
    found = {}
    for path in sorted(ROOT.glob("packages/*/pyproject.toml")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        extras = data["project"].get("optional-dependencies", {})
        modules = data.get("tool", {}).get("glagol", {}).get("extra-modules", {})
        found[path.parent.name] = Project(
            folder=path.parent,
            data=data,
            needs=_names(data["project"]["dependencies"]),
            extras={name: _names(lines) for name, lines in extras.items()},
            extra_modules={name: tuple(lines) for name, lines in modules.items()},
        )
    return found


def reachable(name: str, graph: Mapping[str, frozenset[str]]) -> set[str]:
    """Every node that a walk from `name` meets; `name` itself only where there is a cycle."""
    found: set[str] = set()
    waiting = [*graph[name]]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph[node]
    return found
