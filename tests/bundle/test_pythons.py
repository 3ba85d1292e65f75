"""One bundle for several Pythons: what it carries, and which one a machine installs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import made
from glagol.bundle import errors, reader
from glagol.bundle.install.apply import Options, apply
from glagol.bundle.install.disk import Disk
from glagol.bundle.install.host import Machine
from glagol.bundle.pack.git_source import Checkout
from glagol.bundle.pack.pack import Contents, pack, prepare
from glagol.bundle.pack.sources import Sources
from glagol.core.errors import HostError, InputError

TAGS = {python: f"cp{python.replace('.', '')}" for python in ("3.11", "3.12", "3.13")}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose one compiled wheel is another for each Python, and one pure wheel."""
    place = tmp_path_factory.mktemp("pythons") / "checkout"
    made.checkout(place)
    rows = []
    for python, tag in TAGS.items():
        file = f"sound-1.0-{tag}-{tag}-manylinux_2_17_x86_64.whl"
        data = made.wheel("sound", "1.0", {"sound/native.so": tag.encode() * 1000})
        (place / ".work" / "wheels" / file).write_bytes(data)
        rows.append((file, data, [python]))
    pure = made.wheel("tongue", "2.0", {"tongue/__init__.py": b"says = 'a'\n"})
    (place / ".work" / "wheels" / "tongue-2.0-py3-none-any.whl").write_bytes(pure)
    rows.append(("tongue-2.0-py3-none-any.whl", pure, list(TAGS)))
    plan = [
        dict(zip(("name", "version"), file.split("-")[:2], strict=True))
        | {"file": file, "sha256": made.sha256(data), "pythons": pythons}
        for file, data, pythons in rows
    ]
    lock = "".join(f"{row['name']} --hash=sha256:{row['sha256']}\n" for row in plan)
    (place / "lock" / "asr-cpu.txt").write_text(lock)
    (place / "lock" / f"asr-cpu.{made.SYSTEM}.json").write_text(json.dumps(plan))
    made.commit(place, ["lock/asr-cpu.txt", f"lock/asr-cpu.{made.SYSTEM}.json"])
    return place


def packed(root: Path, *pythons: str) -> Contents:
    """The bundle for these Pythons."""
    wheels, store = root / ".work" / "wheels", root / "store"
    sources = Sources(Checkout.open(root), (wheels,), (store,))
    return prepare(sources, "cpu", made.SYSTEM, (), pythons)[1]


def names(contents: Contents) -> set[str]:
    """File names of the wheels of a bundle."""
    paths = (Path(member.entry.path) for member in contents.members)
    return {path.name.partition("-manylinux")[0] for path in paths if path.suffix == ".whl"}


def test_each_asked_python_brings_its_wheels_and_shares_the_pure_ones(root: Path) -> None:
    """Nothing of the others is carried; older readers are turned away only where they must be."""
    one, two = packed(root, "3.11"), packed(root, "3.11", "3.13")
    assert "sound-1.0-cp313-cp313" not in names(one)
    assert names(two) - names(one) == {"sound-1.0-cp313-cp313"}
    found = [json.loads(contents.index) for contents in (one, two)]
    assert [index["requires"]["python"] for index in found] == ["3.11", "3.11,3.13"]
    assert [index["min_reader"] for index in found] == [1, 3]
    # a machine installs the wheels of one Python, and that much room is asked for
    rooms = [index["environment"]["unpacked_bytes"] for index in found]
    assert rooms[0] == rooms[1] > 0


def test_a_python_without_wheels_is_refused(root: Path) -> None:
    """A bundle that no such machine could install is not packed."""
    with pytest.raises(InputError, match=r"Python 3\.9") as caught:
        packed(root, "3.11", "3.9")
    assert caught.value.code == "option_invalid"


def test_the_installer_takes_the_python_that_is_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.13 where that is what the machine has; 3.12 is refused with the versions named."""
    monkeypatch.setattr(os, "sync", lambda: None)
    tar = pack(packed(root, "3.11", "3.13"), None, tmp_path / "dist").path
    has = replace(made.Machine(), facts=(made.SYSTEM, "2.36", "3.13"))
    options = Options(allow_unsigned=True)
    target = made.target_at(tmp_path / "target")
    with errors.translated(), reader.members(str(tar), None) as members:
        apply(members, target, has, Disk(), options)
    assert (target.current / "env" / "made").read_text() == "for Python 3.13"
    lacks = replace(has, facts=(made.SYSTEM, "2.36", "3.12"))
    with (
        errors.translated(),
        reader.members(str(tar), None) as members,
        pytest.raises(HostError, match=r"3\.11 or 3\.13, found 3\.12") as caught,
    ):
        apply(members, made.target_at(tmp_path / "other"), lacks, Disk(), options)
    assert caught.value.code == "bundle_platform"


def test_a_shim_of_an_absent_python_is_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name on PATH that ends with an error, or is another version, is passed over."""
    for name, script in (("python3.98", "exit 127"), ("python3.99", "echo 3.11 /usr/bin/nothing")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Machine().python(["3.98", "3.99"]) == f"{sys.version_info[0]}.{sys.version_info[1]}"
