"""The other forms of a bundle: sealed, split, delta; one identity for all, and the commands."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import made
from glagol.bundle import delta, errors, reader, split, verify
from glagol.bundle.install.apply import Options, apply
from glagol.bundle.install.disk import Disk
from glagol.bundle.sign import seal
from glagol.core.errors import GlagolError, InputError

ANY = Options(allow_unsigned=True)


@pytest.fixture(autouse=True)
def _quick_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.sync() would wait for every other program of the machine."""
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> made.Release:
    """A release."""
    root = tmp_path_factory.mktemp("old") / "checkout"
    made.checkout(root)
    return made.release(root)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> made.Release:
    """A later one."""
    root = tmp_path_factory.mktemp("new") / "checkout"
    made.checkout(root, version="0.2.0", manifest=2)
    return made.release(root)


def install(place: Path, target: Path, identity: Path | None = None) -> str:
    """Apply; what serves then."""
    with errors.translated(), reader.members(str(place), identity) as members:
        apply(members, made.target_at(target), made.Machine(), Disk(), ANY)
    return made.serves(made.target_at(target))


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An age identity, and `recipients` beside it."""
    if shutil.which("age") is None or shutil.which("age-keygen") is None:
        pytest.skip("age is not installed")
    folder = tmp_path_factory.mktemp("age")
    subprocess.run(["age-keygen", "-o", folder / "key"], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", folder / "key"], check=True, capture_output=True)
    (folder / "recipients").write_bytes(public.stdout)
    return folder / "key"


def test_sealed_form_holds_the_same_bundle(
    new: made.Release, identity: Path, tmp_path: Path
) -> None:
    """Stock age opens it to the very tar; the verifier and `apply` take it; a stranger cannot."""
    place = tmp_path / new.tar.name
    shutil.copy(new.tar, place)
    sealed = seal(place, identity.with_name("recipients")).path
    plain = subprocess.run(["age", "-d", "-i", identity, sealed], capture_output=True, check=True)
    assert plain.stdout == new.tar.read_bytes()
    assert install(sealed, tmp_path / "target", identity) == new.contents.name
    subprocess.run(["age-keygen", "-o", tmp_path / "stranger"], check=True, capture_output=True)
    for key, code in ((tmp_path / "stranger", "bundle_tool"), (None, "option_invalid")):
        with pytest.raises(GlagolError) as caught:
            install(sealed, tmp_path / "target", key)
        assert caught.value.code == code


def test_sealed_and_cut_off(new: made.Release, identity: Path, tmp_path: Path) -> None:
    """A sealed bundle that lost its end is never installed."""
    place = tmp_path / new.tar.name
    shutil.copy(new.tar, place)
    sealed = seal(place, identity.with_name("recipients")).path
    sealed.write_bytes(sealed.read_bytes()[:-100])
    with pytest.raises(GlagolError) as caught:
        install(sealed, tmp_path / "target", identity)
    assert caught.value.code == "bundle_altered"
    assert made.target_at(tmp_path / "target").running() is None


@given(st.integers(1, 1 << 42), st.integers(1, split.PART_BYTES_MAX))
def test_parts_cover_the_whole(size: int, part: int) -> None:
    """Without gap or overlap, none over the limit of FAT32; too many parts are refused."""
    try:
        found = split.ranges("x", size, part)
    except InputError:
        assert -(-size // part) > split.PARTS_MAX
        return
    assert [p.start for p in found] == [n * part for n in range(len(found))]
    assert sum(p.size for p in found) == size
    assert all(0 < p.size <= split.PART_BYTES_MAX for p in found)


@pytest.mark.parametrize("part", [0, -1, 1 << 32])
def test_part_sizes_out_of_range(part: int) -> None:
    """4 GiB is one byte too many for FAT32."""
    with pytest.raises(InputError):
        split.ranges("x", 10, part)


def test_parts_install(new: made.Release, tmp_path: Path) -> None:
    """From the list of parts, checked by sha256sum too."""
    listing = split.split(new.tar, tmp_path, 20_000)
    sums = f"{new.tar.name}.parts.sha256"
    subprocess.run(["sha256sum", "--quiet", "-c", sums], cwd=tmp_path, check=True)
    assert install(listing, tmp_path / "target") == new.contents.name


def test_delta_gives_the_full_bundle(old: made.Release, new: made.Release, tmp_path: Path) -> None:
    """Base and delta give the full tar bit for bit; installing either gives the same release."""
    written = delta.make(str(old.tar), str(new.tar), tmp_path)
    full = delta.restore(str(written.path), str(old.tar), tmp_path / "full")
    assert full.path.read_bytes() == new.tar.read_bytes()
    assert written.size_bytes < full.size_bytes
    found = delta.difference(delta.front_of(str(old.tar)), delta.front_of(str(new.tar)))
    assert "src/manifest.json" in found.changed
    assert not found.added
    install(old.tar, tmp_path / "by delta")
    install(new.tar, tmp_path / "by full")
    assert install(written.path, tmp_path / "by delta") == new.contents.name
    one, two = (made.target_at(tmp_path / n).running() for n in ("by delta", "by full"))
    assert one is not None
    assert two is not None
    assert (one.folder, one.index) == (two.folder, two.index)
    assert verify.main([str(written.path), "--allow-unsigned", "--quiet"]) == 0


@pytest.mark.parametrize("spoilt", ["name", "id", "deep"])
def test_what_is_not_signed_is_not_shown(
    old: made.Release,
    new: made.Release,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoilt: str,
) -> None:
    """delta.json is outside the signature: odd names and depth are damage, status 4, no escapes."""
    written = delta.make(str(old.tar), str(new.tar), tmp_path)
    assert verify.main([str(written.path), "--allow-unsigned", "--quiet"]) == 0
    assert "0.1.0" not in capsys.readouterr().out, "the base's name is not signed"
    subprocess.run(["tar", "-xf", written.path, "-C", tmp_path], check=True)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    raw = json.loads((folder / verify.DELTA).read_text())
    raw["base"][spoilt] = "good\x1b[2J\nbundle: all right"
    raw["check"] = hashlib.sha256(
        verify.canonical({"base": raw["base"], "kept": raw["kept"]})
    ).hexdigest()
    text = "[" * 100_000 if spoilt == "deep" else verify.canonical(raw).decode()
    (folder / verify.DELTA).write_text(text)
    assert verify.main([str(folder), "--allow-unsigned", "--quiet"]) == 4
    output = capsys.readouterr()
    assert (output.out, output.err.split(":")[0]) == ("", "bundle_altered")
    assert "\x1b" not in output.err
    assert "all right" not in output.err


def test_the_name_of_a_foreign_file_is_shown_without_escapes(
    new: made.Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault names an unlisted file in one printable line."""
    subprocess.run(["tar", "-xf", new.tar, "-C", tmp_path], check=True)
    (folder,) = tmp_path.iterdir()
    (folder / "z\x1b[2J\nall right\r").write_text("")
    assert verify.main([str(folder), "--allow-unsigned", "--quiet"]) == 4
    output = capsys.readouterr().err
    assert output.startswith("bundle_added: z\\x1b[2J\\nall right\\r is not listed")


def test_delta_to_another_base(old: made.Release, new: made.Release, tmp_path: Path) -> None:
    """It is refused by name."""
    written = delta.make(str(old.tar), str(new.tar), tmp_path)
    with pytest.raises(GlagolError) as caught:
        delta.restore(str(written.path), str(new.tar), tmp_path / "full")
    assert caught.value.code == "bundle_base"
    assert not (tmp_path / "full" / new.tar.name).exists()


def test_delta_to_itself_is_nothing(new: made.Release, tmp_path: Path) -> None:
    """No file travels, only the lists."""
    written = delta.make(str(new.tar), str(new.tar), tmp_path)
    assert written.size_bytes < 20_000
    assert delta.difference(*[delta.front_of(str(new.tar))] * 2).carried_bytes == 0


def command(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`glagol bundle ...` in a process of its own."""
    packages = [
        made.REPOSITORY / f"packages/{p}/src" for p in ("core", "registry", "bundle", "cli")
    ]
    path = ":".join(map(str, packages))
    return subprocess.run(
        [sys.executable, "-m", "glagol.cli.commands.bundle", *arguments],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
    )


def test_commands(old: made.Release, new: made.Release, tmp_path: Path) -> None:
    """plan, verify, diff, split, join, gc, and the exit statuses of their failures."""
    shown = command("plan", "--source", str(new.root))
    assert new.contents.id.encode() in shown.stdout
    right = command("verify", "--allow-unsigned", str(new.tar))
    assert (right.returncode, new.contents.id.encode() in right.stdout) == (0, True)
    assert b"s left" in right.stderr
    assert command("verify", str(new.tar)).returncode == 4
    assert command("verify", str(tmp_path / "absent")).returncode == 2
    assert b"* src/manifest.json" in command("diff", str(old.tar), str(new.tar)).stdout
    made_parts = command("split", str(new.tar), "--output", str(tmp_path), "--part-bytes", "30000")
    listing = made_parts.stdout.decode().strip()
    assert command("join", listing, "--output", str(tmp_path / "joined")).returncode == 0
    assert (tmp_path / "joined" / new.tar.name).read_bytes() == new.tar.read_bytes()
    install(new.tar, tmp_path / "target")
    assert b'{"removable": 0}' in command("gc", "--to", str(tmp_path / "target")).stdout
    assert command("rollback", "--to", str(tmp_path / "target")).returncode == 2
    assert command("rollback", "--to", str(tmp_path / "nowhere")).returncode == 2


def test_apply_needs_no_wheel_but_click(tmp_path: Path) -> None:
    """install.sh runs it on a bare Python, before there is an environment."""
    packages = [str(made.REPOSITORY / f"packages/{p}/src") for p in ("core", "bundle")]
    code = "import sys; sys.path[:0] = sys.argv[1:]; import glagol.bundle.install.apply, "
    code += "glagol.bundle.reader, glagol.bundle.install.host"
    bare = [sys.executable, "-I", "-S", "-B", "-c", code, *packages]
    subprocess.run(bare, check=True, cwd=tmp_path)
