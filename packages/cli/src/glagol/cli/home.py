"""Find the default home, the folder of manifest.json and the store.

An installed package contains glagol/home beside its modules: manifest, locks, clips and the
embedded models. A user's additions (fetched models, edits of the manifest) must survive the next
installation. So the home is XDG_DATA_HOME/glagol, which is filled from the package at the first
call and after each upgrade. In a checkout and in a bundle the home is the tree that contains the
code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from glagol.cli import report

__all__ = ["default_home", "packaged_home", "source_home"]

MANIFEST: Final = "manifest.json"
STAMP: Final = ".packaged"
HERE: Final = Path(__file__).resolve()


def default_home() -> Path:
    """The folder of manifest.json for a command that was given none.

    Returns:
        The user's own folder for an installed command; else the current directory when it holds a
        manifest; else the checkout or release that the code lies in; else the current directory.
    """
    packaged = packaged_home()
    if packaged is not None:
        return _filled(packaged)
    source = source_home()
    return Path() if source is None or Path(MANIFEST).is_file() else source


def packaged_home() -> Path | None:
    """glagol/home beside the modules of an installed command; None elsewhere."""
    home = HERE.parents[1] / "home"
    return home if (home / MANIFEST).is_file() else None


def source_home() -> Path | None:
    """The checkout, or a bundle's src, whose packages/cli/src holds this file; None elsewhere."""
    root = HERE.parents[5] if len(HERE.parents) > 5 else None
    return root if root is not None and (root / MANIFEST).is_file() else None


def _filled(packaged: Path) -> Path:
    """The user's folder with what the package carries in it; the package's where it cannot be."""
    data = os.environ.get("XDG_DATA_HOME", "")
    # "~" stays where there is no home, and is then no absolute path
    base = data if data.startswith("/") else os.path.expanduser("~/.local/share")  # noqa: PTH111
    home = Path(base, "glagol")
    stamp = f"{_sha256(packaged / MANIFEST)} {(packaged / 'commit').read_text().strip()}\n"
    try:
        if home.is_absolute() and (home / STAMP).read_text(encoding="utf-8") == stamp:
            return home
    except OSError:
        pass
    try:
        if not home.is_absolute():
            return packaged
        _fill(packaged, home, stamp)
    except OSError:  # no home, or a full or read-only one: the package itself serves
        return packaged
    return home


def _fill(packaged: Path, home: Path, stamp: str) -> None:
    before = (home / STAMP).read_text(encoding="utf-8") if (home / STAMP).is_file() else ""
    manifest = home / MANIFEST
    edited = manifest.is_file() and _sha256(manifest) not in {before.partition(" ")[0], stamp[:64]}
    for path in sorted(packaged.rglob("*")):
        target = home / path.relative_to(packaged)
        if not path.is_file() or (edited and target == manifest):
            continue
        if not path.is_relative_to(packaged / "store"):
            _put(path, target, link=False)
        elif not target.is_file():  # named by its digest, and checked whenever it is opened
            _put(path, target, link=True)
    if edited:
        _put(packaged / MANIFEST, home / "manifest.new.json", link=False)
        report.note(
            f"{manifest} was edited and is kept; this release's is {home / 'manifest.new.json'}"
        )
    (home / STAMP).write_text(stamp, encoding="utf-8")


def _put(source: Path, target: Path, *, link: bool) -> None:
    """A file under another name, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        try:
            if not link:
                raise OSError
            part.hardlink_to(source)
        except OSError:  # another file system, or none that links
            shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
