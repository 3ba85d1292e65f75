"""The same commit gives the same bundle, bit for bit, whatever surrounds the build.

Each case varies one thing, the last one everything at once. On a difference the member is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bundle import made
from glagol.bundle.verify import BLOCK, parse_header

PACKAGES = [
    str(made.REPOSITORY / f"packages/{p}/src") for p in ("core", "registry", "bundle", "cli")
]
ODD = "папка с пробелом, длинная " + "x" * 60


@dataclass(frozen=True, slots=True)
class Way:
    """One way to build."""

    folder: str = "plain"
    settings: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    umask: int = 0o022
    backwards: bool = False


WAYS = {
    "again": Way(),
    "path with a space and Cyrillic": Way(folder=ODD),
    "time zone east": Way(settings={"TZ": "Pacific/Kiritimati"}),
    "time zone west": Way(settings={"TZ": "Etc/GMT+12"}),
    "locale C": Way(settings={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "locale ru_RU": Way(settings={"LC_ALL": "ru_RU.UTF-8", "LANG": "ru_RU.UTF-8"}),
    "umask 077": Way(umask=0o077),
    "umask 002": Way(umask=0o002),
    "hash seed": Way(settings={"PYTHONHASHSEED": "4242"}),
    "400 days later": Way(before=("faketime", "-f", "+400d")),
    "in 1970": Way(before=("faketime", "1970-01-02 00:00:00")),
    "another user": Way(before=("unshare", "-U", "--map-user=1234", "--map-group=1234")),
    "one core": Way(before=("taskset", "-c", "0")),
    "no network": Way(before=("unshare", "-n")),
    "directory order": Way(backwards=True),
    "optimised": Way(settings={"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}),
    "everything": Way(
        folder=ODD + "/другая",
        settings={"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "77", "USER": "builder"},
        before=("faketime", "-f", "+400d", "taskset", "-c", "0"),
        umask=0o077,
        backwards=True,
    ),
}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A checkout and the bundle that a plain build of it gives."""
    root = tmp_path_factory.mktemp("origin") / "checkout"
    made.checkout(root)
    return root, made.release(root).tar.read_bytes()


def copy(source: Path, to: Path, *, backwards: bool) -> None:
    """A folder file by file, in either order, so that the directory lists it in another one."""
    files = sorted(p for p in source.rglob("*") if p.is_file())
    for path in reversed(files) if backwards else files:
        place = to / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def build(origin: Path, top: Path, way: Way) -> Path:
    """Clone and pack in a process of its own; the tar."""
    place = top / way.folder / "clone"
    place.parent.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", str(origin), str(place)], check=True)
    copy(origin / ".work" / "wheels", place / ".work" / "wheels", backwards=way.backwards)
    copy(origin / "store", place / "store", backwards=way.backwards)
    home = top / "home"
    home.mkdir()
    settings = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": ":".join(PACKAGES)}
    command = [*way.before, sys.executable, "-m", "glagol.cli.commands.bundle", "pack"]
    done = subprocess.run(
        [*command, "--source", ".", "--output", "dist"],
        cwd=place,
        env={**settings, **way.settings},
        umask=way.umask,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return place / "dist" / "glagol-0.1.0+m1-cpu.tar"


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, header and content) of a tar."""
    at = 0
    while entry := parse_header(data[at : at + BLOCK]):
        end = at + BLOCK + entry.size + -entry.size % BLOCK
        yield entry.path, data[at:end]
        at = end
    yield "the end", data[at:]


def differing(one: bytes, two: bytes) -> list[str]:
    """Paths whose header or content differ between two tars."""
    before, after = dict(members(one)), dict(members(two))
    names = [*before, *(name for name in after if name not in before)]
    return [name for name in names if before.get(name) != after.get(name)]


@pytest.mark.parametrize("name", WAYS)
def test_the_same_bundle(origin: tuple[Path, bytes], tmp_path: Path, name: str) -> None:
    """`cmp` equal to the plain build."""
    way = WAYS[name]
    tools = [tool for tool in way.before if tool in {"faketime", "unshare", "taskset"}]
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if "unshare" in tools and subprocess.run([*way.before, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let this user make name spaces")
    data = build(origin[0], tmp_path, way).read_bytes()
    assert not differing(origin[1], data)
    assert data == origin[1]


def test_what_is_not_committed_is_not_packed(origin: tuple[Path, bytes], tmp_path: Path) -> None:
    """A bundle is made from the commit: a change in the tree changes nothing."""
    root = tmp_path / "clone"
    shutil.copytree(origin[0], root, symlinks=True)
    (root / "README.md").write_text("changed")
    (root / "build" / "seal.py").chmod(0o755)
    assert made.release(root).tar.read_bytes() == origin[1]


def test_another_commit_gives_another_bundle(origin: tuple[Path, bytes], tmp_path: Path) -> None:
    """The comparison can fail, and then it names the member."""
    root = tmp_path / "clone"
    shutil.copytree(origin[0], root, symlinks=True)
    (root / "README.md").write_text("changed")
    made.commit(root, ["README.md"])
    top = "glagol-0.1.0+m1-cpu"
    assert f"{top}/src/README.md" in differing(origin[1], made.release(root).tar.read_bytes())
