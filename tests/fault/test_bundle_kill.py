"""kill -9 and a full disk at every single step of an installation: the old release serves on."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from bundle import made
from fault.conftest import World, install
from glagol.bundle.install.disk import Disk
from glagol.bundle.install.target import Target
from glagol.core.errors import CODES, GlagolError, HostError

OLD, NEW = "glagol-0.1.0+m1-cpu", "glagol-0.2.0+m2-cpu"
STEPS = 100  # of an upgrade of the made-up release; `test_every_step_has_its_cases` holds it
CUT_OVER = STEPS - 2  # the rename of `current`; the last step brings it to the disk
FIRST_STEPS = 200  # of its first installation, at least; some depend on how digests begin


class Fuse:
    """Calls `blow` ahead of step number `at`, and of every later one when `for_good`."""

    def __init__(self, at: int, blow: object, *, for_good: bool = False) -> None:
        self.at, self.blow, self.for_good = at, blow, for_good
        self.count = 0
        self.moved = False

    def __call__(self, operation: str, path: Path) -> None:
        now, self.count = self.count, self.count + 1
        if now == self.at or (self.for_good and now > self.at):
            self.blow()  # type: ignore[operator]
        self.moved = self.moved or (operation, path.name) == ("rename", "current")


def kill() -> None:
    """As a power cut does, but for what the system still writes."""
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    """As a disk says it."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed(world: World, target: Target, at: int) -> None:
    """Upgrade in a child process that dies at a step."""
    child = os.fork()
    if not child:
        try:
            install(world.new.tar, target, Disk(Fuse(at, kill)), made.Machine())
        finally:
            os._exit(7)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def tree(target: Target) -> dict[str, bytes]:
    """Every file below, links as text; numbers of generations aside."""
    return {
        str(p.relative_to(target.root)): bytes(p.readlink())
        if p.is_symlink()
        else p.read_bytes().replace(str(target.root).encode(), b"")
        for p in target.root.rglob("*")
        if not p.is_dir() or p.is_symlink()
    }


def test_every_step_has_its_cases(world: World, target: Target) -> None:
    """The numbers above are how many steps there are, so none is left out."""
    fuse = Fuse(-1, kill)
    install(world.new.tar, target, Disk(fuse), made.Machine())
    assert fuse.count == STEPS
    first = Fuse(-1, kill)
    install(world.old.tar, Target(target.root / "fresh"), Disk(first), made.Machine())
    assert first.count >= FIRST_STEPS


@pytest.mark.parametrize("at", range(STEPS))
def test_kill_during_an_upgrade(world: World, target: Target, at: int) -> None:
    """Before the cut-over the old release serves, after it the new; the same command finishes."""
    killed(world, target, at)
    assert made.serves(target) == (NEW if at > CUT_OVER else OLD)
    install(world.new.tar, target, Disk(), made.Machine())
    assert made.serves(target) == NEW
    assert not [name for name in tree(target) if name.endswith(".partial") or ".staged" in name]


@pytest.mark.parametrize("at", range(STEPS))
def test_disk_full_during_an_upgrade(world: World, target: Target, at: int) -> None:
    """Once: the old release serves, the error says so, nothing half-written is left."""
    with pytest.raises(HostError) as caught:
        install(world.new.tar, target, Disk(Fuse(at, full)), made.Machine())
    assert caught.value.code == "disk_full"
    assert CODES["disk_full"].exit_status == 5
    assert str(target.root) in caught.value.message
    assert made.serves(target) == OLD
    install(world.new.tar, target, Disk(), made.Machine())
    assert made.serves(target) == NEW


@pytest.mark.parametrize("at", range(0, STEPS, 3))
def test_disk_full_for_good(world: World, target: Target, at: int) -> None:
    """A disk that stays full: whatever runs is whole."""
    fuse = Fuse(at, full, for_good=True)
    with pytest.raises(HostError):
        install(world.new.tar, target, Disk(fuse), made.Machine())
    assert made.serves(target) == (NEW if fuse.moved else OLD)


@pytest.mark.parametrize("at", range(0, FIRST_STEPS, 4))
def test_kill_during_the_first_installation(world: World, at: int) -> None:
    """Nothing runs, or the release does; the same command finishes."""
    target = Target(Path(tempfile.mkdtemp(dir=world.root)) / "target")
    child = os.fork()
    if not child:
        try:
            install(world.old.tar, target, Disk(Fuse(at, kill)), made.Machine())
        finally:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if target.current.is_symlink():
        assert made.serves(target) == OLD
    install(world.old.tar, target, Disk(), made.Machine())
    assert made.serves(target) == OLD
    shutil.rmtree(target.root.parent)


def test_a_real_full_disk(world: World, target: Target) -> None:
    """RLIMIT_FSIZE makes the kernel itself refuse a write."""
    child = os.fork()
    if not child:
        status = 99
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            install(world.new.tar, target, Disk(), made.Machine())
        except GlagolError as error:
            status = CODES[error.code].exit_status if error.code == "disk_full" else 98
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    assert made.serves(target) == OLD
