"""Two small releases and an installation of the old one, on a memory disk where there is one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bundle import made
from glagol.bundle import errors, reader
from glagol.bundle.install.apply import Options, apply
from glagol.bundle.install.disk import Disk
from glagol.bundle.install.target import Installed, Target

MEMORY = Path("/dev/shm")  # noqa: S108
ANY = Options(allow_unsigned=True)


@dataclass(frozen=True, slots=True)
class World:
    """The releases, and the old one installed twice: to be copied, and to be tempted in vain."""

    root: Path
    old: made.Release
    new: made.Release
    installed: Target
    tempted: Target


def install(place: Path, target: Target, disk: Disk, machine: made.Machine) -> Installed:
    """Apply a bundle on its sums alone."""
    with errors.translated(), reader.members(str(place)) as members:
        return apply(members, target, machine, disk, ANY)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Made once for all faults."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        root = Path(name)
        made.checkout(root / "old")
        made.checkout(root / "new", version="0.2.0", manifest=2)
        old, new = made.release(root / "old"), made.release(root / "new")
        target = Target(root / "installed")
        install(old.tar, target, Disk(), made.Machine())
        for number in range(256):  # so that the number of steps does not depend on digests
            (target.root / "store" / "sha256" / f"{number:02x}").mkdir(exist_ok=True)
        tempted = Target(root / "tempted")
        install(old.tar, tempted, Disk(), made.Machine())
        yield World(root, old, new, target, tempted)


@pytest.fixture
def target(world: World) -> Iterator[Target]:
    """A copy of the installation, free to be broken."""
    root = Path(tempfile.mkdtemp(dir=world.root))
    shutil.copytree(world.installed.root, root, symlinks=True, dirs_exist_ok=True)
    text = (root / "current" / "bin" / "glagol").read_text()
    # the made-up launcher names its target, so the copy must name its own
    (root / "current" / "bin" / "glagol").write_text(
        text.replace(str(world.installed.root), str(root))
    )
    yield Target(root)
    shutil.rmtree(root)


@pytest.fixture(autouse=True)
def _quick_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.sync() would wait for every other program of the machine."""
    monkeypatch.setattr(os, "sync", lambda: None)
