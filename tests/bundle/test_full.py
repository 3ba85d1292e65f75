"""The variant full: two environments over one set of wheels, and a language model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle import made
from glagol.bundle import delta, errors, reader, verify
from glagol.bundle.install.apply import Options, apply, rollback
from glagol.bundle.install.disk import Disk
from glagol.bundle.install.host import Machine
from glagol.bundle.install.steps import Environment
from glagol.bundle.install.target import Target
from glagol.bundle.pack.git_source import Checkout
from glagol.bundle.pack.pack import Contents, pack, prepare
from glagol.bundle.pack.sources import Sources, unpacked_bytes
from glagol.core.errors import GlagolError

ANY = Options(allow_unsigned=True)
UNITS = made.REPOSITORY / made.OWN / "release" / "units"
BIN = made.REPOSITORY / made.OWN / "release" / "bin"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose manifest has a default language model and which locks its environment."""
    place = tmp_path_factory.mktemp("full") / "checkout"
    made.checkout(place)
    made.add_llm(place)
    return place


@pytest.fixture(scope="module")
def packed(root: Path) -> made.Release:
    """Its full bundle."""
    contents = made.contents(root, "full")
    return made.Release(root, contents, pack(contents, None, root / "dist"))


def install(place: Path, target: Target) -> str:
    """Apply; the name of what serves then."""
    with errors.translated(), reader.members(str(place)) as members:
        apply(members, target, made.Machine(), Disk(), ANY)
    return made.serves(target)


def index(contents: Contents) -> dict[str, Any]:
    """bundle.json."""
    return dict(json.loads(contents.index))


def paths(contents: Contents) -> set[str]:
    """Of every file."""
    return {member.entry.path for member in contents.members}


def test_full_is_cuda_and_the_language_model(root: Path, packed: made.Release) -> None:
    """Its own lock, wheel and model come on top; the shared wheel is there once."""
    cuda, full = paths(made.contents(root, "cuda")), paths(packed.contents)
    assert cuda < full
    extra = {path for path in full - cuda if not path.startswith(("licences/", "store/"))}
    assert extra == {
        "src/lock/llm-cuda.txt",
        f"src/lock/llm-cuda.{made.SYSTEM}.json",
        "src/models/talker/LICENSE",
        "wheels/tongue-2.0-py3-none-any.whl",
        "wheels/sound-2.0-cp311-cp311-manylinux_2_31_x86_64.whl",
    }
    assert len([path for path in full - cuda if path.startswith("store/")]) == 1
    said = index(packed.contents)
    assert said["environment"]["lock"] == "src/lock/asr-cuda.txt"
    assert said["environment_llm"] == {"lock": "src/lock/llm-cuda.txt"}
    assert said["requires"]["glibc"] == "2.31"
    assert "talker" not in said["left_out"]
    assert "whisperer" in said["left_out"]


def test_models_by_name(root: Path) -> None:
    """Another language model than the default; or none."""
    sources = Sources(Checkout.open(root), (root / ".work" / "wheels",), (root / "store",))
    for names in (("tiny", "whisperer"), ("tiny",)):
        what, contents = prepare(sources, "full", made.SYSTEM, names)
        assert tuple(model.id for model, _ in what.models) == names
        assert index(contents)["environment_llm"]


def test_default_language_model_that_is_not_in_the_store(root: Path, tmp_path: Path) -> None:
    """A bundle is a function of the commit: packing stops, it does not leave the model out."""
    sources = Sources(Checkout.open(root), (root / ".work" / "wheels",), (tmp_path,))
    with pytest.raises(GlagolError) as caught:
        prepare(sources, "full", made.SYSTEM)
    assert caught.value.code == "artifact_missing"


def test_system_without_a_plan_of_wheels(root: Path) -> None:
    """There is no full bundle for it, and that is what is said."""
    sources = Sources(Checkout.open(root), (root / ".work" / "wheels",), (root / "store",))
    with pytest.raises(GlagolError, match="no bundle full for aarch64-linux") as caught:
        prepare(sources, "full", "aarch64-linux")
    assert caught.value.code == "option_invalid"


def test_wheels_of_both_count_for_the_disk(root: Path, packed: made.Release) -> None:
    """A shared wheel is carried once and unpacked twice."""
    cuda = index(made.contents(root, "cuda"))["environment"]["unpacked_bytes"]
    full = index(packed.contents)["environment"]["unpacked_bytes"]
    wheels = root / ".work" / "wheels"
    added, sources = unpacked_bytes([wheels / name for name in made.LLM_WHEELS])
    assert full - cuda == added > sources > 0


def test_only_two_environments_need_the_newer_reader(root: Path, packed: made.Release) -> None:
    """Older readers read cpu and cuda as before, and refuse full."""
    assert [index(made.contents(root, v))["min_reader"] for v in ("cpu", "cuda")] == [1, 1]
    assert "environment_llm" not in index(made.contents(root, "cpu"))
    assert index(packed.contents)["min_reader"] == 2 <= verify.READER


def test_older_reader_says_so(
    packed: made.Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than to install half of it."""
    monkeypatch.setattr(verify, "READER", 1)
    assert verify.main([str(packed.tar), "--allow-unsigned", "--quiet"]) == 4
    assert "bundle_too_new" in capsys.readouterr().err


def test_verify_apply_rollback(root: Path, packed: made.Release, tmp_path: Path) -> None:
    """cuda, then full with its second environment, back, and forward."""
    assert verify.main([str(packed.tar), "--allow-unsigned", "--quiet"]) == 0
    cuda = pack(made.contents(root, "cuda"), None, tmp_path / "dist").path
    target = Target(tmp_path / "target")
    assert install(cuda, target).endswith("-cuda")
    assert not (target.current / "env-llm").exists()
    assert install(packed.tar, target).endswith("-full")
    assert (target.current / "env-llm" / "made").is_file()
    rollback(target, Disk())
    assert made.serves(target).endswith("-cuda")
    assert install(packed.tar, target).endswith("-full")


def test_delta_between_variants(root: Path, packed: made.Release, tmp_path: Path) -> None:
    """From cuda to full: only what cuda lacks travels, and the very same bundle comes out."""
    cuda = pack(made.contents(root, "cuda"), None, tmp_path).path
    written = delta.make(str(cuda), str(packed.tar), tmp_path)
    restored = delta.restore(str(written.path), str(cuda), tmp_path / "restored")
    assert restored.path.read_bytes() == packed.tar.read_bytes()
    target = Target(tmp_path / "target")
    install(cuda, target)
    shared = next(p for p in paths(packed.contents) if p.startswith("wheels/sound-1.0"))
    assert install(written.path, target).endswith("-full")
    assert (target.current / shared).samefile(
        target.store.path_of(made.sha256((target.current / shared).read_bytes()))
    )


def test_two_environments_made_by_uv(tmp_path: Path) -> None:
    """The real thing: one folder of wheels, two locks that disagree about a version."""
    tool = made.REPOSITORY / ".tools" / "bin" / "uv"
    if not tool.is_file():
        pytest.skip("uv is not in .tools: ./just brings it")
    release = tmp_path / "release"
    folders = ("wheels", "src/lock", "src/build", "src/packages")
    for folder in folders:
        (release / folder).mkdir(parents=True)
    seal = made.REPOSITORY / "build" / "seal.py"
    (release / "src" / "build" / "seal.py").write_bytes(seal.read_bytes())
    wheels = {
        (n, v): made.installable(release / "wheels", n, v)
        for n, v in (("sound", "1.0"), ("sound", "2.0"), ("both", "1.0"), ("tongue", "2.0"))
    }
    made.installable(release / "wheels", "uv", "0.0.1", (tool,))
    locks = {
        "env": [("sound", "1.0"), ("both", "1.0")],
        "env-llm": [("sound", "2.0"), ("both", "1.0"), ("tongue", "2.0")],
    }
    for folder, pins in locks.items():
        lines = [f"{n}=={v} --hash=sha256:{wheels[n, v]}\n" for n, v in pins]
        (release / "src" / "lock" / f"{folder}.txt").write_text("".join(lines))
        uv = "wheels/uv-0.0.1-py3-none-any.whl"
        what = Environment(f"src/lock/{folder}.txt", uv, folder)
        Machine().environment(Disk(), release, what, ".".join(map(str, sys.version_info[:2])))
    code = "from importlib.metadata import distributions as all_of\n"
    code += "print(*sorted(d.name + d.version for d in all_of()))"
    for folder, pins in locks.items():
        command = [str(release / folder / "bin" / "python"), "-I", "-c", code]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        assert done.stdout.split() == sorted(n + v for n, v in pins)


def launched(bin_folder: Path, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a launcher with an otherwise empty environment."""
    return subprocess.run(
        [bin_folder / name],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]} | settings,
    )


def test_launcher_of_the_language_model(tmp_path: Path) -> None:
    """It names its environment; without one it says that there is none; an own one may be named."""
    for name in ("glagol", "llm-server"):
        place = tmp_path / "bin" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes((BIN / name).read_bytes())
        place.chmod(0o755)
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$LLM_PYTHON" "$@"\n')
    python.chmod(0o755)
    refused = launched(tmp_path / "bin", "llm-server")
    assert refused.returncode == 5
    assert "carries no vLLM" in refused.stderr
    assert "full" in refused.stderr
    own = launched(tmp_path / "bin", "llm-server", LLM_PYTHON="/own/python")
    assert own.stdout.split() == ["/own/python", "-m", "glagol.cli", "serve-llm"]
    assert launched(tmp_path / "bin", "glagol").stdout.split() == ["-m", "glagol.cli"]
    other = tmp_path / "env-llm" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.symlink_to(python)
    assert launched(tmp_path / "bin", "llm-server").stdout.split()[0] == str(other)
    own = launched(tmp_path / "bin", "llm-server", LLM_PYTHON="/own/python")
    assert own.stdout.split()[0] == "/own/python"


def test_units_differ_in_what_a_card_needs() -> None:
    """Everything that hardens asr-server's unit hardens this one, but for the four below."""
    lines = {
        name: {
            line
            for line in (UNITS / f"glagol-{name}.service").read_text().splitlines()
            if "=" in line and not line.startswith(("#", "Description", "Exec", "Environment"))
        }
        for name in ("asr", "llm")
    }
    assert lines["asr"] - lines["llm"] == {
        "PrivateDevices=yes",
        "ProcSubset=pid",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    }
    assert lines["llm"] - lines["asr"] == {
        "PrivateDevices=no",
        "DevicePolicy=closed",
        "DeviceAllow=char-nvidia* rw",
        "KillMode=mixed",
        "TimeoutStopSec=60",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    }
