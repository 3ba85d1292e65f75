"""The build's own scripts: sealed trees and images depend on their inputs alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *arguments: object, seed: int = 0) -> None:
    """Run a script of build/ with a given hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "SOURCE_DATE_EPOCH": "315532800"}
    command = [sys.executable, str(ROOT / "build" / script), *map(str, arguments)]
    subprocess.run(command, check=True, env=environment)


def installed(tree: Path, time_s: int, umask: int) -> Path:
    """What uv leaves behind: a module, a script, records with the time of the installation."""
    site = tree / "lib/python3.11/site-packages"
    info = site / "sound-1.0.dist-info"
    info.mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "bin/activate").write_text(f"VIRTUAL_ENV={tree}\n")
    (tree / "bin/sound").write_text("#!/bin/sh\n")
    (tree / "bin/sound").chmod(0o777 & ~umask)
    names = {f"name_{i}": i for i in range(50)}
    (site / "sound.py").write_text(f"NAMES = {{*{list(names)!r}}}\ndef f(a, *, b={names!r}): ...\n")
    (info / "uv_cache.json").write_text(json.dumps({"timestamp": time_s}))
    lines = ["sound.py,sha256=x,1\n", f"{info.name}/uv_cache.json,sha256={time_s},9\n"]
    (info / "RECORD").write_text("".join(lines if umask else lines[::-1]))
    for path in tree.rglob("*"):
        os.utime(path, (time_s, time_s))
    return tree


def members(tree: Path) -> list[tuple[str, int, float, str]]:
    """Name, mode, time and digest of everything in a tree."""
    return [
        (
            str(path.relative_to(tree)),
            path.stat().st_mode,
            path.stat().st_mtime,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [tree, *sorted(tree.rglob("*"))]
    ]


def test_sealed_trees_are_equal_wherever_and_whenever_installed(tmp_path: Path) -> None:
    """Other folder, time, umask and hash seed: the same names, modes, times and bytes."""
    one = installed(tmp_path / "one", 1_000_000_000, 0o022)
    two = installed(tmp_path / "elsewhere" / "two", 1_700_000_000, 0o077)
    assert members(one) != members(two)
    run("seal.py", "--compile", one, seed=1)
    run("seal.py", "--compile", two, seed=77)
    assert members(one) == members(two)
    assert not (one / "bin/activate").exists()
    assert list(one.rglob("*.pyc"))


def test_sealed_byte_code_is_used_after_a_move(tmp_path: Path) -> None:
    """The byte code is neither stale nor rewritten when the tree lies elsewhere."""
    tree = installed(tmp_path / "one", 1_000_000_000, 0o022)
    run("seal.py", "--compile", tree)
    moved = tree.rename(tmp_path / "moved")
    site = moved / "lib/python3.11/site-packages"
    (site / "sound.py").write_text("raise SystemExit('the source was read')\n")
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import sound"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def closure(tmp_path: Path) -> Path:
    """A store path with a program, a link and a read-only file; its list."""
    package = tmp_path / "store/abc-package"
    (package / "bin").mkdir(parents=True)
    (package / "bin/run").write_text("#!/bin/sh\n")
    (package / "bin/run").chmod(0o555)
    (package / "link").symlink_to("bin/run")
    paths = tmp_path / "paths"
    paths.write_text(f"{package}\n")
    return paths


def test_image_is_well_formed_and_repeatable(tmp_path: Path, closure: Path) -> None:
    """Every digest in index, manifest and configuration is that of the blob it names."""
    outs = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for seed, out in enumerate(outs):
        run("image.py", out, "--paths", closure, "--program", "/run", seed=seed)
        for path in tmp_path.rglob("*"):
            os.utime(path, (seed, seed), follow_symlinks=False)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    with tarfile.open(outs[0]) as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    for name, data in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def follow(part: dict[str, object]) -> bytes:
        data = blobs["blobs/" + str(part["digest"]).replace(":", "/")]
        assert len(data) == part["size"]
        return data

    manifest = json.loads(follow(json.loads(blobs["index.json"])["manifests"][0]))
    config = json.loads(follow(manifest["config"]))
    assert config["config"]["Cmd"] == ["/run"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    (tmp_path / "layer.tar").write_bytes(follow(manifest["layers"][0]))
    with tarfile.open(tmp_path / "layer.tar") as tar:
        inside = {m.name: m for m in tar}
    program = next(m for name, m in inside.items() if name.endswith("bin/run"))
    assert (program.mode, program.uid, program.mtime) == (0o755, 0, 315532800)
    assert next(m for name, m in inside.items() if name.endswith("link")).linkname == "bin/run"
    assert inside["tmp"].mode == 0o1777
