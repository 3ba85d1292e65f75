"""Bundles and targets that must be refused, each with its code, while the old release serves on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import made
from fault.conftest import ANY, World, install
from glagol.bundle import delta, errors, reader, verify
from glagol.bundle.install.apply import Options, apply, collect, garbage, rollback
from glagol.bundle.install.disk import Disk
from glagol.bundle.install.target import Installed, Target
from glagol.bundle.pack import index
from glagol.bundle.pack.pack import pack
from glagol.bundle.sign import sign
from glagol.core.errors import CODES, GlagolError

OLD, NEW = "glagol-0.1.0+m1-cpu", "glagol-0.2.0+m2-cpu"
HERE = made.Machine()


def run(place: Path, target: Target, options: Options, machine: made.Machine = HERE) -> Installed:
    """Apply with options."""
    with errors.translated(), reader.members(str(place)) as members:
        return apply(members, target, machine, Disk(), options)


def refusal(call: Callable[[], object], code: str) -> str:
    """The message, once code and exit status are right."""
    with pytest.raises(GlagolError) as caught:
        call()
    assert caught.value.code == code, caught.value.message
    assert caught.value.remedy
    assert CODES[code].exit_status in {2, 3, 4, 5}
    return caught.value.message


@pytest.mark.parametrize(
    ("machine", "code", "word"),
    [
        (replace(HERE, facts=("aarch64-linux", "2.36", "3.11")), "bundle_platform", "aarch64"),
        (replace(HERE, facts=(made.SYSTEM, "2.16", "3.11")), "bundle_platform", "glibc 2.17"),
        (replace(HERE, facts=(made.SYSTEM, "", "3.11")), "bundle_platform", "no glibc"),
        (replace(HERE, facts=(made.SYSTEM, "2.36", "")), "bundle_platform", "Python 3.11"),
        (replace(HERE, facts=(made.SYSTEM, "2.36", "3.12")), "bundle_platform", "3.12"),
        (replace(HERE, free=1000), "disk_full", "1000 bytes free"),
    ],
)
def test_machine_that_cannot(
    world: World, target: Target, machine: made.Machine, code: str, word: str
) -> None:
    """Said before the first byte is written."""
    before = sorted(target.root.rglob("*"))
    assert word in refusal(lambda: run(world.new.tar, target, ANY, machine), code)
    assert sorted(target.root.rglob("*")) == before
    assert made.serves(target) == OLD


def test_glibc_is_compared_by_number(world: World, target: Target) -> None:
    """2.9 is older than 2.17; 3.0 is not."""
    machine = replace(HERE, facts=(made.SYSTEM, "2.9", "3.11"))
    refusal(lambda: run(world.new.tar, target, ANY, machine), "bundle_platform")
    run(world.new.tar, target, ANY, replace(HERE, facts=(made.SYSTEM, "3.0", "3.11")))


@pytest.mark.parametrize("name", ["notes.txt", "current", "store"])
def test_folder_of_another_user(world: World, tmp_path: Path, name: str) -> None:
    """Nothing is touched in it."""
    (tmp_path / name).write_text("mine")
    refusal(lambda: run(world.new.tar, Target(tmp_path), ANY), "bundle_target")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_in_place_of_the_folder(world: World, tmp_path: Path) -> None:
    """The target is a file."""
    (tmp_path / "x").write_text("mine")
    refusal(lambda: run(world.new.tar, Target(tmp_path / "x"), ANY), "bundle_target")


def test_downgrade(world: World, target: Target) -> None:
    """Refused, unless it is asked for."""
    run(world.new.tar, target, ANY)
    assert "older" in refusal(lambda: run(world.old.tar, target, ANY), "bundle_downgrade")
    assert made.serves(target) == NEW
    run(world.old.tar, target, replace(ANY, downgrade=True))
    assert made.serves(target) == OLD


def test_bundle_for_a_newer_reader(
    world: World, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, instead of failing on what it does not know; the verifier too."""
    monkeypatch.setattr(index, "READER", verify.READER + 1)
    made.checkout(tmp_path / "future", version="9.0.0")
    future = made.release(tmp_path / "future").tar
    refusal(lambda: run(future, target, ANY), "bundle_too_new")
    assert verify.main([str(future), "--allow-unsigned", "--quiet"]) == 4
    assert made.serves(target) == OLD


def test_no_bundle_there(tmp_path: Path, target: Target) -> None:
    """Exit status 2 from both."""
    refusal(lambda: run(tmp_path / "x.tar", target, ANY), "bundle_not_found")
    assert verify.main([str(tmp_path / "x.tar"), "--quiet"]) == 2


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`release` and `stranger` keys, and `signers` that names the first."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("release", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    public = " ".join((folder / "release.pub").read_text().split()[:2])
    (folder / "signers").write_text(f'glagol-release namespaces="glagol-bundle" {public}\n')
    return folder


def signed(world: World, folder: Path, signature: bytes) -> Path:
    """The new bundle with a signature."""
    return pack(world.new.contents, signature, folder).path


def test_signature_of_the_release(world: World, target: Target, keys: Path, tmp_path: Path) -> None:
    """Ed25519 signs the same bytes each time; the signers of the first time count from then on."""
    signature = sign(world.new.contents.sums, keys / "release")
    assert signature == sign(world.new.contents.sums, keys / "release")
    place = signed(world, tmp_path, signature)
    run(place, target, Options(signers=keys / "signers"))
    assert made.serves(target) == NEW
    run(place, target, Options())
    refusal(lambda: run(world.new.tar, target, Options()), "bundle_unsigned")
    arguments = [str(place), "--quiet", "--signers", str(keys / "signers")]
    assert verify.main(arguments) == 0


def wrong_signatures(world: World, keys: Path) -> dict[str, bytes]:
    """By a stranger, over another bundle, for another purpose, damaged, none."""
    sums = world.new.contents.sums
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(keys / "release"), "-n", "git"]
    right = sign(sums, keys / "release")
    return {
        "stranger": sign(sums, keys / "stranger"),
        "other bundle": sign(world.old.contents.sums, keys / "release"),
        "other purpose": subprocess.run(command, input=sums, capture_output=True).stdout,
        "damaged": right.replace(b"A", b"B", 1),
        "empty": b"",
    }


@pytest.mark.parametrize(
    "case", ["stranger", "other bundle", "other purpose", "damaged", "empty", "no signer trusted"]
)
def test_wrong_signature(
    world: World, target: Target, keys: Path, tmp_path: Path, case: str
) -> None:
    """Refused before a single file is copied."""
    signature = wrong_signatures(world, keys).get(case, sign(b"x", keys / "release"))
    place = signed(world, tmp_path, signature)
    options = Options(signers=None if case == "no signer trusted" else keys / "signers")
    before = sorted(target.root.rglob("*"))
    refusal(lambda: run(place, target, options), "bundle_signature")
    assert sorted(target.root.rglob("*")) == before
    assert made.serves(target) == OLD


def test_no_ssh_keygen(
    world: World, target: Target, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature that cannot be checked is never skipped."""
    place = signed(world, tmp_path, sign(world.new.contents.sums, keys / "release"))
    monkeypatch.setenv("PATH", str(tmp_path))
    refusal(lambda: run(place, target, Options(signers=keys / "signers")), "bundle_tool")
    assert verify.main([str(place), "--quiet", "--signers", str(keys / "signers")]) == 5
    monkeypatch.undo()
    assert made.serves(target) == OLD


def test_unsigned_bundle(world: World, target: Target, keys: Path) -> None:
    """Refused unless the sums alone are to be trusted."""
    options = Options(signers=keys / "signers")
    refusal(lambda: run(world.new.tar, target, options), "bundle_unsigned")
    assert verify.main([str(world.new.tar), "--quiet", "--signers", str(keys / "signers")]) == 4


def test_delta_without_its_base(world: World, target: Target, tmp_path: Path) -> None:
    """An empty target, and one whose store lost a file of the base."""
    written = delta.make(str(world.old.tar), str(world.new.tar), tmp_path)
    message = refusal(lambda: run(written.path, Target(tmp_path / "empty"), ANY), "bundle_base")
    assert OLD in message
    manifest = target.current / "src" / "pyproject.toml"
    shared = next(e.entry for e in world.new.contents.members if e.entry.path.endswith(".whl"))
    target.store.path_of(shared.sha256).unlink()
    assert shared.path in refusal(lambda: run(written.path, target, ANY), "bundle_base")
    assert manifest.is_file()


@pytest.mark.parametrize("bit", range(8))
def test_delta_with_a_damaged_list(world: World, target: Target, tmp_path: Path, bit: int) -> None:
    """delta.json vouches for itself."""
    written = delta.make(str(world.old.tar), str(world.new.tar), tmp_path)
    data = bytearray(written.path.read_bytes())
    data[data.index(b'"kept"') + 40] ^= 1 << bit
    written.path.write_bytes(data)
    assert "delta.json" in refusal(lambda: run(written.path, target, ANY), "bundle_altered")
    assert made.serves(target) == OLD


@pytest.fixture(scope="module")
def bad(world: World) -> Path:
    """An intact bundle of a release with another transcript."""
    made.checkout(world.root / "bad", version="0.3.0", says="что-то другое")
    return made.release(world.root / "bad").tar


def test_release_that_answers_wrong(bad: Path, target: Target) -> None:
    """It never becomes current; what it was expected to say is in the message."""
    message = refusal(lambda: run(bad, target, ANY), "bundle_rejected")
    assert made.TEXT in message
    assert made.serves(target) == OLD
    assert [item.folder[: len(OLD)] for item in target.generations()] == [OLD]


class Fickle(made.Machine):
    """Answers rightly before the cut-over, not after."""

    def answer(self, release: Path, model: str, audio: str) -> str:
        return "" if release.name == "current" else super().answer(release, model, audio)


def test_automatic_return(world: World, target: Target, tmp_path: Path) -> None:
    """Wrong after the cut-over: the old release is brought back; a first one is taken away."""
    refusal(lambda: run(world.new.tar, target, ANY, Fickle()), "bundle_rejected")
    assert made.serves(target) == OLD
    fresh = Target(tmp_path / "fresh")
    refusal(lambda: run(world.new.tar, fresh, ANY, Fickle()), "bundle_rejected")
    assert fresh.running() is None
    run(world.new.tar, fresh, ANY)
    assert made.serves(fresh) == NEW


def test_rollback_and_forward(world: World, target: Target) -> None:
    """Back, no further back, forward again; each by one rename."""
    refusal(lambda: rollback(target, Disk()), "bundle_no_previous")
    run(world.new.tar, target, ANY)
    renames: list[str] = []
    rollback(target, Disk(lambda operation, path: renames.append(f"{operation} {path.name}")))
    assert [name for name in renames if name.startswith("rename")] == ["rename current"]
    assert made.serves(target) == OLD
    run(world.new.tar, target, ANY)
    assert made.serves(target) == NEW
    assert [item.generation for item in target.generations()] == [1, 2]


def test_a_second_process(world: World, target: Target) -> None:
    """Two installations at once: the second is refused with a hint to wait."""
    with target.changing(Disk()):
        refusal(lambda: run(world.new.tar, target, ANY), "busy")
        refusal(lambda: rollback(target, Disk()), "busy")


def test_garbage(world: World, bad: Path, target: Target) -> None:
    """Leftovers of failures and old releases go; what is kept is whole."""
    stray = target.store.path_of("ab" + "c" * 62)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"stray")
    refusal(lambda: run(bad, target, ANY), "bundle_rejected")
    run(world.new.tar, target, ANY)
    found = garbage(target, keep=2)
    assert stray in found
    collect(target, Disk(), found)
    assert made.serves(target) == NEW
    rollback(target, Disk())
    assert made.serves(target) == OLD
    run(world.new.tar, target, ANY)
    collect(target, Disk(), garbage(target, keep=1))
    assert made.serves(target) == NEW
    refusal(lambda: rollback(target, Disk()), "bundle_no_previous")
    refusal(lambda: garbage(Target(target.root / "store"), keep=1), "bundle_target")


def test_blob_that_rotted(world: World, target: Target) -> None:
    """A file of the store that lost its bytes is brought anew by a full bundle."""
    shared = next(e.entry for e in world.new.contents.members if e.entry.path.endswith(".whl"))
    place = target.store.path_of(shared.sha256)
    place.unlink()
    place.write_bytes(b"rotten")
    run(world.new.tar, target, ANY)
    assert made.serves(target) == NEW


@pytest.mark.parametrize("number", range(0, 90, 9))
def test_interrupted_copy(world: World, target: Target, tmp_path: Path, number: int) -> None:
    """A bundle that is still being copied is refused; the finished copy continues from there."""
    data = world.new.tar.read_bytes()
    place = tmp_path / "copy.tar"
    place.write_bytes(data[: len(data) * number // 90])
    with pytest.raises(GlagolError) as caught:
        install(place, target, Disk(), HERE)
    assert CODES[caught.value.code].exit_status == 4
    assert made.serves(target) == OLD
    place.write_bytes(data)
    install(place, target, Disk(), HERE)
    assert made.serves(target) == NEW


def test_clock_in_1970(world: World, tmp_path: Path, keys: Path) -> None:
    """A machine whose clock was never set verifies and installs."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    place = signed(world, tmp_path, sign(world.new.contents.sums, keys / "release"))
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[4:]\n"
        "from bundle import made; from glagol.bundle import reader\n"
        "from glagol.bundle.install.apply import Options, apply\n"
        "from glagol.bundle.install.disk import Disk\n"
        "import time; assert time.time() < 1e6\n"
        "with reader.members(sys.argv[1]) as members:\n"
        "    apply(members, made.target_at(Path(sys.argv[2])), made.Machine(), Disk(),\n"
        "          Options(signers=Path(sys.argv[3])))\n"
    )
    packages = [
        str(made.REPOSITORY / f"packages/{name}/src") for name in ("core", "registry", "bundle")
    ]
    arguments = [str(place), str(tmp_path / "target"), str(keys / "signers")]
    subprocess.run(
        ["faketime", "1970-01-02 00:00:00", sys.executable, "-c", code, *arguments]
        + [str(made.REPOSITORY / "tests"), *packages],
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert made.serves(Target(tmp_path / "target")) == NEW
