"""Each lock file agrees with its request, pins every line by hash and names no host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LOCK = Path(__file__).resolve().parent.parent / "lock"
NAMES = sorted(p.stem for p in LOCK.glob("*.in") if p.stem != "overrides")
BAD_ONNXRUNTIME = {"1.24.1", "1.26.0"}


def requested(name: str) -> list[Requirement]:
    """Requirements of lock/NAME.in, included files followed."""
    found: list[Requirement] = []
    for raw in (LOCK / f"{name}.in").read_text().splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("-r "):
            found += requested(line.removeprefix("-r ").removesuffix(".in"))
        elif line:
            found.append(Requirement(line))
    return found


def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """(pin, hashes) of every entry of lock/NAME.txt."""
    text = "\n".join(
        line for line in (LOCK / f"{name}.txt").read_text().splitlines() if not line.startswith("#")
    )
    found = []
    for entry in text.replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r"\s+--hash=", entry.strip())
        found.append((Requirement(pin), hashes))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_lock_answers_its_request(name: str) -> None:
    """Every requested package is pinned to a version that the request allows."""
    pins: dict[str, list[Version]] = {}
    for requirement, _ in entries(name):
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins.setdefault(canonicalize_name(requirement.name), []).append(Version(specifier.version))
    for requirement in requested(name):
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions, f"lock/{name}.txt lacks {requirement.name}: ./just lock"
        for version in versions:
            assert requirement.specifier.contains(version, prereleases=True), requirement


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_pinned_by_sha256(name: str) -> None:
    """No entry without a hash; nothing but sha256."""
    found = entries(name)
    assert found
    for requirement, hashes in found:
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


@pytest.mark.parametrize("name", NAMES)
def test_lock_names_no_host(name: str) -> None:
    """Where wheels come from is the user's configuration."""
    for suffix in ("in", "txt"):
        text = (LOCK / f"{name}.{suffix}").read_text()
        assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


def test_torch_is_apart_from_the_serving_path() -> None:
    """What serves speech must not carry torch; vLLM has processes and environments of its own."""
    with_torch = {n for n in NAMES for r, _ in entries(n) if canonicalize_name(r.name) == "torch"}
    assert with_torch.isdisjoint({"asr-cpu", "asr-cuda", "dev", "models", "tools"})


@pytest.mark.parametrize("name", ["asr-cpu", "asr-cuda", "bench", "dev", "forge"])
def test_broken_onnxruntime_releases_are_avoided(name: str) -> None:
    """1.24.1, 1.25.* and 1.26.0 mishandle external data or worse (onnx-asr's own pin list)."""
    for requirement, _ in entries(name):
        if canonicalize_name(requirement.name).startswith("onnxruntime"):
            (specifier,) = requirement.specifier
            assert specifier.version not in BAD_ONNXRUNTIME
            assert not specifier.version.startswith("1.25.")
