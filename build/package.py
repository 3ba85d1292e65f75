"""How `pip install .`, `pipx install .` and `uv tool install .` make the command of a checkout.

Hatchling calls both hooks. The dependencies are the exact pins of lock/asr-cpu.txt, or of the lock
that GLAGOL_LOCK names: asr-cuda is no extra, since an extra can only add, and onnxruntime-gpu must
come instead of onnxruntime (both bring the same files). The wheel holds every package of packages/
and, in glagol/home, what the command needs beside its code: manifest, locks, model cards,
known-answer clips, the embedded models built and verified, and the commit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HOME = "glagol/home"
LOCKS = ("asr-cpu", "asr-cuda")
# What is made here, or belongs to git, is no source.
OUTPUTS = (".git", ".env", ".tools", ".work", "store", "dist", "__pycache__", "*.egg-info")


def pins(lock: Path) -> list[str]:
    """The requirements of a lock without their hashes, as in `numpy==2.4.6 ; python_version...`."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line.rstrip("\\ ") for line in lines if "==" in line and line[0] not in "# "]


def chosen() -> str:
    """The lock that GLAGOL_LOCK names, asr-cpu where it is unset."""
    lock = os.environ.get("GLAGOL_LOCK") or LOCKS[0]
    if lock not in LOCKS:
        sys.exit(f"GLAGOL_LOCK={lock!r}: it must be one of {', '.join(LOCKS)}")
    return lock


class Metadata(MetadataHookInterface):
    """Dependencies from a lock."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what pyproject.toml calls dynamic."""
        metadata["dependencies"] = pins(Path(self.root, "lock", f"{chosen()}.txt"))


class Build(BuildHookInterface[Any]):
    """The files of glagol/home."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the embedded models and name every file for the wheel; an editable one has none."""
        if version == "editable" or self.target_name != "wheel":
            return
        self.made = Path(tempfile.mkdtemp(prefix="glagol-package-"))
        root = Path(self.root)
        _models(root, self.made)
        (self.made / "commit").write_text(f"{_commit(root)}\n", encoding="utf-8")
        included = build_data["force_include"]
        for name in ("manifest.json", "LICENSE", f"lock/{chosen()}.txt"):
            included[str(root / name)] = f"{HOME}/{name}"
        for path in sorted((root / "models").rglob("*")):
            if path.is_file() and path.suffix != ".safetensors" and path.name != "BUILD":
                included[str(path)] = f"{HOME}/{path.relative_to(root).as_posix()}"
        included[str(self.made / "commit")] = f"{HOME}/commit"
        included[str(self.made / "store" / "sha256")] = f"{HOME}/store/sha256"

    def finalize(self, *_: Any) -> None:
        """Remove what was made beside the checkout."""
        if hasattr(self, "made"):
            shutil.rmtree(self.made, ignore_errors=True)


def _models(root: Path, made: Path) -> None:
    """The embedded models in MADE/store, by build/setup as ./just does it; digests are checked."""
    if not os.access(root, os.W_OK):  # environments go into the checkout, or into a copy of it
        copy = made / "checkout"
        shutil.copytree(root, copy, symlinks=True, ignore=shutil.ignore_patterns(*OUTPUTS))
        root = copy
    python = getattr(sys, "_base_executable", None) or sys.executable
    settings = {
        **os.environ,
        "GLAGOL_STORE": str(made / "store"),
        "GLAGOL_PYTHON": python,
        "PATH": f"{_uv().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    for name in ("PYTHONPATH", "PYTHONHOME", "GLAGOL_HOME", "VIRTUAL_ENV"):
        settings.pop(name, None)
    done = subprocess.run(
        ["/bin/sh", str(root / "build" / "setup")], env=settings, capture_output=True, check=False
    )
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace").strip()
        sys.exit(f"the embedded models could not be built:\n{text}")
    shutil.rmtree(made / "store" / "incoming", ignore_errors=True)


def _uv() -> Path:
    """The uv of the build's own environment; where there is no such environment, that of PATH."""
    try:
        import uv
    except ImportError:
        return Path(shutil.which("uv") or "uv")
    return Path(uv.find_uv_bin())


def _commit(root: Path) -> str:
    """The commit, `-changed` behind it where files differ; `unknown` outside git."""
    git = ["git", "-c", "safe.directory=*", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.decode().strip() + ("-changed" if status.stdout.strip() else "")
