"""Compare an environment with its lock: absent, other and additional packages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["departures", "differences", "installed", "pins"]

# Never imported by Glagol: what puts packages into an environment.
INSTALLERS: Final = frozenset({"pip", "setuptools", "wheel"})
OWN: Final = "glagol"


def departures(path: Path) -> tuple[int, list[str]]:
    """`differences` of a lock and the running environment.

    Args:
        path: the lock.
    """
    return differences(path, installed())


def installed() -> dict[str, str]:
    """Versions by canonical name in this environment, the first of each, which is imported."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        found.setdefault(canonicalize_name(distribution.name), distribution.version)
    return found


def differences(path: Path, found: Mapping[str, str]) -> tuple[int, list[str]]:
    """How many packages the lock pins, and each way in which an environment is not the lock's.

    Glagol's own packages and installers are left out: neither is in a lock.

    Args:
        path: the lock.
        found: versions by canonical name.
    """
    wanted = dict(pins(path))
    wrong = []
    for name, version in sorted(wanted.items()):
        if name not in found:
            wrong.append(f"{name} is absent")
        elif found[name] != version:
            wrong.append(f"{name} is {found[name]}, not {version}")
    extra = set(found) - set(wanted) - INSTALLERS
    others = sorted(name for name in extra if name.partition("-")[0] != OWN)
    return len(wanted), wrong + [f"{name} is not in the lock" for name in others]


def pins(path: Path) -> Iterator[tuple[str, str]]:
    """(canonical name, version) of the lock lines whose markers hold here."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if "==" not in line or line.startswith(("#", " ")):
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        if requirement.marker is None or requirement.marker.evaluate():
            (specifier,) = requirement.specifier
            yield canonicalize_name(requirement.name), specifier.version
