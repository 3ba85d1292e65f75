"""The output of `glagol --version`: release, commit, manifest, default model, environment."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

from glagol.cli.home import packaged_home, source_home
from glagol.core.errors import GlagolError
from glagol.core.version import VERSION

__all__ = ["commit", "version_lines"]

UNKNOWN = "unknown"


def version_lines(home: Path) -> list[str]:
    """The lines; the first is program and version alone.

    Args:
        home: folder of manifest.json.
    """
    lines = [f"glagol, version {VERSION}", f"commit    {commit()}"]
    try:
        from glagol.models.home import load

        registry = load(home)
    except GlagolError as error:
        return [*lines, f"manifest  {error.message}"]
    manifest = registry.manifest
    lines.append(
        f"manifest  version {manifest.manifest_version}, sha256 {registry.manifest_sha256[:12]},"
        f" {home.absolute()}"
    )
    lines.append(f"model     {manifest.defaults.asr}")
    return [*lines, f"python    {platform.python_version()}, {_environment(home)}"]


def commit() -> str:
    """The commit that this code is of; `-changed` behind it where tracked files differ."""
    packaged, source = packaged_home(), source_home()
    if packaged is not None:
        return (packaged / "commit").read_text(encoding="utf-8").strip()
    if source is None:
        return UNKNOWN
    provenance = source.parent / "provenance.json"  # of a bundle, whose src this is
    if provenance.is_file() and (source.parent / "bundle.json").is_file():
        return _of_bundle(provenance)
    git = ["git", "-c", "safe.directory=*", "-C", str(source)]
    head = _answer([*git, "rev-parse", "HEAD"])
    changed = _answer([*git, "status", "--porcelain", "--untracked-files=no"])
    return f"{head}{'-changed' if changed else ''}" if head else UNKNOWN


def _of_bundle(provenance: Path) -> str:
    """The commit in a bundle's in-toto statement."""
    try:
        statement = json.loads(provenance.read_bytes())
        materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        return str(next(m["digest"]["gitCommit"] for m in materials if "gitCommit" in m["digest"]))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return UNKNOWN


def _answer(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _environment(home: Path) -> str:
    """Whether the running environment is one of the locks."""
    from glagol.cli.env_checks.lock import departures

    for lock in ("asr-cpu", "asr-cuda"):
        path = home / "lock" / f"{lock}.txt"
        if path.is_file() and not departures(path)[1]:
            return f"environment as lock/{lock}.txt"
    return "environment outside the locks (glagol env-check says where)"
