"""lock/NAME.txt -> lock/NAME.SYSTEM.json: the wheels that a system installs, for each Python.

A universal lock lists every file of a release; an offline bundle, Nix and a container need to know
which of them to carry. uv evaluates markers and wheel tags for any system and Python. Of its answer
only names, versions, file names and digests are kept, so no plan names a host, and every digest
must be one that the lock lists. A row names the Pythons that install its file; the rows of one
Python hold each of its releases once.

    python3 build/wheelplan.py               write every plan (needs uv, and an index in reach)
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

LOCK = Path(__file__).resolve().parent.parent / "lock"
# The oldest C library for which all of a lock has wheels. The tools' musl wheels hold static
# programs: they run under any loader, so in Nix's sandbox and on any distribution.
PLATFORMS = {
    "asr-cpu": {
        "x86_64-linux": "x86_64-manylinux_2_28",
        "aarch64-linux": "aarch64-manylinux_2_28",
    },
    "asr-cuda": {
        "x86_64-linux": "x86_64-manylinux_2_28",
        "aarch64-linux": "aarch64-manylinux_2_34",
    },
    "dev": {
        "x86_64-linux": "x86_64-manylinux_2_28",
        "aarch64-linux": "aarch64-manylinux_2_28",
    },
    "llm-cuda": {"x86_64-linux": "x86_64-manylinux_2_31"},
    "models": {
        "x86_64-linux": "x86_64-manylinux_2_28",
        "aarch64-linux": "aarch64-manylinux_2_28",
    },
    "tools": {
        "x86_64-linux": "x86_64-unknown-linux-musl",
        "aarch64-linux": "aarch64-unknown-linux-musl",
    },
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# vLLM's environment is resolved, and was tried, for one Python alone.
PYTHONS_OF = {"llm-cuda": ("3.11",)}
# CUDA's torch comes from an index; a CPU build of the same version in a folder of wheels would win.
INDEX_ONLY = {"llm-cuda"}
AT_ONCE = 8


def preference(file: str, python: str) -> tuple[bool, bool, tuple[int, ...], str]:
    """Sort key of a wheel among those that fit: native, for this Python alone, then newest libc."""
    glibc = [(int(a), int(b)) for a, b in re.findall(r"manylinux_(\d+)_(\d+)", file)]
    own = f"cp{python.replace('.', '')}"
    return ("-none-any." not in file, f"-{own}-{own}-" in file, max(glibc, default=()), file)


def file_name(wheel: dict[str, Any]) -> str:
    """File name of a wheel entry of pylock.toml (PEP 751), whatever place it was found in."""
    place = wheel.get("name") or wheel.get("url") or wheel["path"]
    return unquote(PurePosixPath(urlsplit(place).path).name)


def plan(lock: Path, platform: str, python: str) -> list[dict[str, str]]:
    """Rows of name, version, file and sha256, by name.

    Args:
        lock: a universal lock with hashes.
        platform: uv's name of the target.
        python: version of the target's Python, as in `3.11`.

    Raises:
        SystemExit: no wheel of a release has a digest that the lock lists.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pylock.plan.toml")
        uv = ["uv", "pip", "compile", "--quiet", "--python", sys.executable, "--no-deps"]
        target = [
            "--only-binary",
            ":all:",
            "--python-version",
            python,
            "--python-platform",
            platform,
        ]
        answer = ["--format", "pylock.toml", "--output-file", str(out)]
        settings = dict(os.environ)
        if lock.stem in INDEX_ONLY:
            settings.pop("UV_FIND_LINKS", None)
        subprocess.run([*uv, *target, *answer, str(lock)], check=True, env=settings)
        packages = tomllib.loads(out.read_text(encoding="utf-8"))["packages"]
    listed = set(re.findall(r"sha256:([0-9a-f]{64})", lock.read_text(encoding="utf-8")))
    rows = []
    for package in packages:
        wheels = {file_name(w): w["hashes"]["sha256"] for w in package.get("wheels", [])}
        known = {file: digest for file, digest in wheels.items() if digest in listed}
        if not known:
            sys.exit(f"{lock.name}: no wheel of {package['name']} has a locked digest: {wheels}")
        file = max(known, key=lambda file: preference(file, python))
        row = {"name": package["name"], "version": package["version"]}
        rows.append(row | {"file": file, "sha256": known[file]})
    return sorted(rows, key=lambda row: row["name"])


def merged(plans: dict[str, list[dict[str, str]]]) -> list[dict[str, Any]]:
    """The rows of several Pythons' plans; what is the same file has one row with `pythons`."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for python, rows in plans.items():
        for row in rows:
            same = found.setdefault(tuple(row.values()), row | {"pythons": []})
            same["pythons"].append(python)
    return sorted(found.values(), key=lambda row: (row["name"], row["pythons"], row["file"]))


def text_of(rows: list[dict[str, Any]]) -> str:
    """JSON with one row per line, so that a diff names the releases that changed."""
    return "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n"


def main() -> None:
    """Write the plan of every lock for every system; what takes time is the index's answers."""
    wanted = [
        (name, system, python)
        for name, systems in PLATFORMS.items()
        for system in systems
        for python in PYTHONS_OF.get(name, PYTHONS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda w: plan(LOCK / f"{w[0]}.txt", PLATFORMS[w[0]][w[1]], w[2]), wanted)
        plans = dict(zip(wanted, found, strict=True))
    for name, systems in PLATFORMS.items():
        for system in systems:
            own = {w[2]: rows for w, rows in plans.items() if w[:2] == (name, system)}
            text = text_of(merged(own))
            (LOCK / f"{name}.{system}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
