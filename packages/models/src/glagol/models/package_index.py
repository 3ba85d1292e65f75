"""Unpack wheels of the configured package index as data.

An address says `pkg:pypi/NAME@VERSION` and names no host: uv or pip knows where the index is, and
with which certificates and credentials. The tool checks the wheel against its pinned digest before
it unpacks it; nothing in a wheel is run or imported.

Source of the form of addresses: package-url/purl-spec, "pypi".
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import SourceFile

__all__ = ["PREFIX", "unpack"]

PREFIX: Final = "pkg:pypi/"

_REASON_CHARACTERS_MAX = 300


def unpack(wheel: SourceFile, address: str, folder: Path) -> None:
    """Install a wheel into an empty folder, its dependencies left out.

    Args:
        wheel: with its digest.
        address: `pkg:pypi/NAME@VERSION`.
        folder: where its files go.

    Raises:
        IntegrityError: `artifact_unpinned`, the wheel has no digest; `artifact_missing`, no tool is
            here, or none delivered the wheel with this digest.
    """
    name, _, version = address.removeprefix(PREFIX).partition("@")
    if wheel.sha256 is None:
        raise IntegrityError(
            "artifact_unpinned",
            f"{wheel.path} has no sha256 in the manifest",
            "a wheel is installed by its digest: pin it first",
        )
    folder.mkdir(parents=True)
    wanted = folder.with_name(f"{folder.name}.txt")
    wanted.write_text(f"{name}=={version} --hash=sha256:{wheel.sha256}\n")
    reasons = []
    try:
        for tool, command in _tools():
            options = ["--target", folder, "--require-hashes", "--no-deps", "--quiet"]
            options += ["--only-binary", ":all:", "--requirement", wanted]
            options += _made_for(wheel.path, tool)
            done = subprocess.run(
                [*command, *map(str, options)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                return
            reasons.append(f"{tool}: {_reason(done.stderr)}")
    finally:
        wanted.unlink()
    raise IntegrityError(
        "artifact_missing",
        f"no package index delivered {name} {version}, sha256 {wheel.sha256}: "
        + ("; ".join(reasons) or "neither uv nor pip is here"),
        "name an index (UV_DEFAULT_INDEX, PIP_INDEX_URL), or give a folder that holds the wheel"
        " with --source DIR",
    )


def _made_for(file: str, tool: str) -> list[str]:
    """Options that accept a wheel made for another Python or system: it is only read.

    Args:
        file: the wheel's name, which ends in its tags (PEP 427).
        tool: uv or pip.
    """
    tags = file.rpartition("/")[2].removesuffix(".whl").split("-")[-3:]
    if len(tags) < 3 or tags[2] == "any":
        return []
    interpreter, abi, platforms = tags
    version = f"{interpreter[2]}.{interpreter[3:]}" if interpreter.startswith("cp") else ""
    newest = platforms.split(".")[-1]  # manylinux_2_28_x86_64
    if tool == "uv":
        system, _, rest = newest.partition("_")
        libc, machine = rest[:4], rest[5:]
        made = ["--python-platform", f"{machine}-{system}_{libc}"]
        return made + (["--python-version", version] if version else [])
    made = ["--platform", newest, "--abi", abi, "--implementation", interpreter[:2]]
    return made + (["--python-version", version] if version else [])


def _tools() -> Iterator[tuple[str, list[str]]]:
    """Name and command of each installer of this machine."""
    uv = shutil.which("uv")
    if uv is not None:
        yield "uv", [uv, "pip", "install", "--python", sys.executable]
    quiet = ["install", "--disable-pip-version-check", "--no-input", "--no-compile"]
    if importlib.util.find_spec("pip") is not None:
        yield "pip", [sys.executable, "-m", "pip", *quiet]
        return
    pip = shutil.which("pip3") or shutil.which("pip")
    if pip is not None:
        yield "pip", [pip, *quiet]


def _reason(output: str) -> str:
    """The last line of what a tool said, of bounded length."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:_REASON_CHARACTERS_MAX] if lines else "no reason given"
