"""Brings the wheels of lock/NAME.SYSTEM.json into a folder, each checked by its digest.

    python3.11 build/wheels.py FOLDER NAME...       (asr-cpu, dev, models, tools)

What is there already is kept, so it needs an index once and can be run again without. Where the
wheels come from is pip's configuration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "lock"


def rows(names: list[str], system: str) -> dict[str, dict[str, str]]:
    """Plan rows of several locks, by file name."""
    plans = [json.loads((LOCK / f"{name}.{system}.json").read_text("utf-8")) for name in names]
    return {row["file"]: row for plan in plans for row in plan}


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there with the right digest."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def download(wanted: list[dict[str, str]], folder: Path) -> None:
    """One call of pip for all of them; tags are given since some are not for this C library."""
    tags = {tag for row in wanted for tag in row["file"][:-4].rsplit("-", 1)[1].split(".")}
    flags = [f"--platform={tag}" for tag in sorted(tags - {"any"}) or ["any"]]
    flags += ["--implementation=cp", "--python-version=3.11"]
    flags += ["--abi=cp311", "--abi=abi3", "--abi=none"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        for row in wanted:
            pins.write(f"{row['name']}=={row['version']} --hash=sha256:{row['sha256']}\n")
        pins.flush()
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
        strict = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
        subprocess.run([*pip, *strict, *flags, "-d", str(folder), "-r", pins.name], check=True)


def main() -> None:
    """Download what the folder lacks, then check all of it.

    Raises:
        SystemExit: a file is still not the planned one.
    """
    parser = argparse.ArgumentParser(description="bring planned wheels into a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--system", default=f"{platform.machine()}-linux")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    planned = rows(given.names, given.system)
    missing = [r for file, r in planned.items() if not is_whole(given.folder / file, r["sha256"])]
    if missing:
        download(missing, given.folder)
    for file, row in planned.items():
        if not is_whole(given.folder / file, row["sha256"]):
            sys.exit(f"{file} is not the wheel that the lock names; delete it and run this again")


if __name__ == "__main__":
    main()
