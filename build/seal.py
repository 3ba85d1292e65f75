"""Make an installed Python tree depend on its inputs alone: no times, build paths, umask or owners.

    python3 build/seal.py [--compile] TREE

What an installation leaves behind besides the wheels' own bytes, and what is done about it:

1. uv records the wheel file's change time in each dist-info: deleted, with its line of RECORD;
2. `activate` scripts name the directory they were made in: deleted, nothing here sources them;
3. byte code is keyed by its source's time and names its path: with `--compile` it is written again,
   in one process and in sorted order, checked against nothing (the tree is sealed), path relative;
4. times and modes: one fixed time, 0644 and 0755.

The tree stays usable after it is moved, and equal inputs give equal archives of it.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import stat
import sys
from pathlib import Path

EPOCH_S = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))  # 1980, where zip's calendar begins


def forget_installation(tree: Path) -> None:
    """Delete what the installer wrote about this one installation."""
    for name in ("CACHEDIR.TAG", ".gitignore", ".lock"):
        (tree / name).unlink(missing_ok=True)
    for path in tree.glob("bin/*"):
        if path.name.startswith(("activate", "deactivate", "pydoc")):
            path.unlink()
    for info in tree.glob("lib/python3.*/site-packages/*.dist-info"):
        (info / "uv_cache.json").unlink(missing_ok=True)
        record = info / "RECORD"
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = sorted(line for line in lines if "/uv_cache.json," not in line)
        record.write_text("".join(kept), encoding="utf-8")


def compile_sources(tree: Path) -> int:
    """Byte code for every source; returns how many would not compile (test data, templates)."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    return sum(
        not compileall.compile_file(
            path, quiet=2, force=True, stripdir=str(tree), invalidation_mode=mode
        )
        for path in sorted(tree.rglob("*.py"))
    )


def fix_metadata(tree: Path) -> None:
    """One time and two modes for everything, the top directory last."""
    for folder, folders, files in os.walk(tree, topdown=False):
        for path in [Path(folder, name) for name in [*files, *folders]] + [Path(folder)]:
            if not path.is_symlink():
                runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runs else 0o644)
            os.utime(path, (EPOCH_S, EPOCH_S), follow_symlinks=False)


def main() -> None:
    """Seal the tree given on the command line."""
    parser = argparse.ArgumentParser(description="seal an installed Python tree")
    parser.add_argument("--compile", action="store_true", help="write byte code too")
    parser.add_argument("tree", type=Path)
    arguments = parser.parse_args()
    forget_installation(arguments.tree)
    if arguments.compile:
        for stale in sorted(arguments.tree.rglob("*.pyc")):
            stale.unlink()
        skipped = compile_sources(arguments.tree)
        sys.stderr.write(f"seal: {skipped} sources left uncompiled\n" if skipped else "")
    fix_metadata(arguments.tree)


if __name__ == "__main__":
    main()
