"""Each wheel plan agrees with its lock: nothing more, nothing less, no host, the right system."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

LOCK = Path(__file__).resolve().parent.parent / "lock"
PLANS = sorted(p.name for p in LOCK.glob("*-linux.json"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EACH = [
    (plan, python)
    for plan in PLANS
    for python in (PYTHONS[:1] if plan.startswith("llm-cuda") else PYTHONS)
]
# markers are evaluated for the plan's system and Python, not for those that run the test
MARKERS = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}


def rows(plan: str, python: str = "") -> list[dict[str, Any]]:
    """Rows of a plan, of one Python where it is given."""
    found: list[dict[str, Any]] = json.loads((LOCK / plan).read_text())
    return [row for row in found if not python or python in row["pythons"]]


def machine(plan: str) -> str:
    """Processor that a plan is for."""
    return plan.split(".")[1].removesuffix("-linux")


def applying(plan: str, python: str) -> dict[tuple[str, str], set[str]]:
    """(name, version) -> sha256 of every lock entry that applies to the plan's system."""
    versions = {"python_version": python, "python_full_version": f"{python}.0"}
    environment: dict[str, Any] = MARKERS | versions | {"platform_machine": machine(plan)}
    text = (LOCK / f"{plan.partition('.')[0]}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: dict[tuple[str, str], set[str]] = {}
    for entry in "\n".join(lines).replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r"\s+--hash=sha256:", entry.strip())
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            found[canonicalize_name(requirement.name), specifier.version] = set(hashes)
    return found


def test_every_delivered_environment_has_both_systems() -> None:
    """What is served, and what installs it, on both processors; vLLM on CUDA is for x86_64."""
    wanted = {"asr-cpu", "asr-cuda", "dev", "models", "tools"}
    both = {f"{n}.{m}-linux.json" for n in wanted for m in ("x86_64", "aarch64")}
    assert set(PLANS) == both | {"llm-cuda.x86_64-linux.json"}


@pytest.mark.parametrize(("plan", "python"), EACH)
def test_plan_is_exactly_what_the_lock_asks_for(plan: str, python: str) -> None:
    """Every entry that applies has one wheel; no wheel without an entry; digests are the lock's."""
    locked = applying(plan, python)
    planned = {(row["name"], row["version"]): row["sha256"] for row in rows(plan, python)}
    assert len(planned) == len(rows(plan, python))
    assert set(planned) == set(locked), "./just lock"
    for release, digest in planned.items():
        assert digest in locked[release], release


@pytest.mark.parametrize(("plan", "python"), EACH)
def test_wheels_fit_the_system(plan: str, python: str) -> None:
    """File names carry the row's release, a tag of this CPython and the plan's processor."""
    for row in rows(plan, python):
        name, version, _, tags = parse_wheel_filename(row["file"])
        assert (name, str(version)) == (row["name"], row["version"])
        for tag in tags:
            assert tag.platform == "any" or tag.platform.endswith(machine(plan)), row
            own = {f"cp{python.replace('.', '')}", "abi3"}
            assert tag.interpreter.startswith("py") or tag.abi in own, row
            assert "win" not in tag.platform
            assert "macos" not in tag.platform


@pytest.mark.parametrize("plan", PLANS)
def test_plan_is_canonical_and_names_no_host(plan: str) -> None:
    """Sorted, one row a line, five fields; nothing says where a file lies."""
    text = (LOCK / plan).read_text()
    assert "/" not in text
    assert [row["name"] for row in rows(plan)] == sorted(row["name"] for row in rows(plan))
    assert all(list(row) == ["name", "version", "file", "sha256", "pythons"] for row in rows(plan))
    assert len(text.splitlines()) == len(rows(plan)) + 2


@pytest.mark.parametrize("system", ["x86_64", "aarch64"])
def test_tools_run_under_any_loader(system: str) -> None:
    """The planned tools are the static builds."""
    assert all("musl" in row["file"] for row in rows(f"tools.{system}-linux.json"))
