"""The packed file: readable by stock tools, complete in licences, and stable in its documents."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundle import made
from glagol.bundle import verify
from glagol.core.errors import CODES, GlagolError, IntegrityError

PATHS = st.lists(
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=30),
    min_size=1,
    max_size=6,
).map("/".join)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> made.Release:
    """A packed release."""
    root = tmp_path_factory.mktemp("pack") / "checkout"
    made.checkout(root)
    return made.release(root)


@given(PATHS, st.integers(0, 1 << 40), st.booleans())
@example("a" * 100, 8 << 30, True)
@example("клип/" * 20 + "x", (8 << 30) - 1, False)
def test_header_is_a_tar_header(path: str, size: int, executable: bool) -> None:
    """Python's tarfile reads what `header` writes; `parse_header` is its inverse."""
    try:
        block = verify.header(path, size, executable)
    except ValueError:
        assert len(path.encode()) > 100
        return
    info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    assert (info.name, info.size, info.mode == 0o755) == (path, size, executable)
    assert (info.uid, info.gid, info.mtime, info.isreg()) == (0, 0, verify.EPOCH, True)
    assert verify.parse_header(block) == verify.Entry(path, "", size, executable)


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_no_header(block: bytes) -> None:
    """Whatever `parse_header` accepts, `header` wrote."""
    entry = verify.parse_header(block)
    assert entry is None or verify.header(entry.path, entry.size, entry.executable) == block


@pytest.mark.parametrize("path", ["/a", "a/../b", "", "a//b", "a\nb", "a\\b", "c:d", ".", "a/."])
def test_odd_paths_are_not_plain(path: str) -> None:
    """None of these may leave its folder or mean something else elsewhere."""
    assert not verify.is_plain(path)


def test_stock_tools_verify(packed: made.Release, tmp_path: Path) -> None:
    """GNU tar and sha256sum alone."""
    subprocess.run(["tar", "-xf", packed.tar, "-C", tmp_path], check=True)
    folder = tmp_path / "glagol-0.1.0+m1-cpu"
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    place = [packed.tar.name + ".sha256"]
    subprocess.run(["sha256sum", "--quiet", "-c", *place], cwd=packed.tar.parent, check=True)
    (folder / "src" / "README.md").write_text("changed")
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder)
    assert done.returncode == 1


def pythons() -> list[str]:
    """Interpreters of 3.8 and later that are here."""
    found = [sys.executable]
    places = [Path("/usr/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    for folder in places:
        found += [str(p) for n in range(8, 15) for p in [folder / f"python3.{n}"] if p.is_file()]
    return sorted(set(found))


@pytest.mark.parametrize("python", pythons())
def test_verifier_runs_on_a_bare_python(packed: made.Release, tmp_path: Path, python: str) -> None:
    """The file that travels, isolated (-I, -S): on the tar, on standard input, on the folder."""
    subprocess.run(["tar", "-xf", packed.tar, "-C", tmp_path], check=True)
    folder = tmp_path / "glagol-0.1.0+m1-cpu"
    command = [python, "-I", "-S", "-B", str(folder / "verify.py"), "--allow-unsigned"]
    for place, given_bytes in ((packed.tar, b""), ("-", packed.tar.read_bytes()), (folder, b"")):
        done = subprocess.run([*command, place], input=given_bytes, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert packed.contents.id.encode() in done.stdout
        assert re.search(rb"MiB/s, \d+ s left", done.stderr)
    assert subprocess.run([*command[:-1], folder], capture_output=True).returncode == 4


def test_verifier_is_one_standard_library_file() -> None:
    """And its exit statuses are those of the table."""
    text = Path(verify.__file__).read_text(encoding="utf-8")
    found = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    assert set(found) <= {*sys.stdlib_module_names}
    codes = set(re.findall(r'BundleError\(\s*"(\w+)"', text)) | verify.EXIT.keys()
    assert {code: verify.EXIT.get(code, 4) for code in codes} == {
        code: CODES[code].exit_status for code in codes
    }


def document(packed: made.Release, path: str) -> dict[str, object]:
    """A JSON document of the bundle."""
    with tarfile.open(packed.tar) as tar:
        file = tar.extractfile(f"{packed.contents.name}/{path}")
        assert file is not None
        return dict(json.load(file))


def test_bill_of_materials(packed: made.Release) -> None:
    """Each wheel and model with digest and licence, our packages; a UUID as number, no time."""
    bill: Any = document(packed, "sbom.cdx.json")
    assert uuid.UUID(str(bill["serialNumber"])).version == 5
    assert "timestamp" not in json.dumps(bill)
    components = {c["name"]: c for c in bill["components"]}
    own = {name: components.pop(f"glagol-{name}") for name in ("bundle", "core", "voice")}
    assert sorted(components) == ["sound", "tiny", "uv", "vad"]
    texts = {m.entry.path: m.entry.sha256 for m in packed.contents.members}
    lines = f"{texts[f'src/{made.VOICE}']}  src/{made.VOICE}\n"
    assert own["voice"]["hashes"][0]["content"] == made.sha256(lines.encode())
    assert own["voice"]["components"] == []
    assert components["sound"]["purl"].startswith("pkg:pypi/sound@1.0")
    licence = {"expression": "MIT", "acknowledgement": "declared"}
    assert all(c["licenses"] == [licence] for c in components.values())
    files = [c["hashes"][0]["content"] for c in components["tiny"]["components"]]
    paths = {m.entry.sha256 for m in packed.contents.members if "store/" in m.entry.path}
    assert set(files) == paths


def test_provenance(packed: made.Release) -> None:
    """Every file but the lists and itself is a subject; the commit and the wheels are materials."""
    statement: Any = document(packed, "provenance.json")
    named = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    files = {m.entry.path: m.entry.sha256 for m in packed.contents.members}
    assert named == {p: s for p, s in files.items() if p != "provenance.json"}
    commit = subprocess.run(
        ["git", "-C", packed.root, "rev-parse", "HEAD"], capture_output=True, check=True
    ).stdout.decode()
    assert commit.strip() in json.dumps(statement)


def test_questions_travel(packed: made.Release, tmp_path: Path) -> None:
    """A wheel whose licence a person decides is packed, counted and listed, and none other is."""
    assert packed.contents.questions == 0
    root = tmp_path / "checkout"
    shutil.copytree(packed.root, root, symlinks=True, ignore=shutil.ignore_patterns("dist"))
    (wheel,) = (root / ".work" / "wheels").glob("sound-1.0-*")
    plan = root / "lock" / f"asr-cpu.{made.SYSTEM}.json"
    lock = root / "lock" / "asr-cpu.txt"
    old = made.sha256(wheel.read_bytes())
    wheel.write_bytes(made.wheel("sound", "1.0", {}, "License-Expression: MPL-2.0\n"))
    for file in (plan, lock):
        file.write_text(file.read_text().replace(old, made.sha256(wheel.read_bytes())))
    made.commit(root, [str(file.relative_to(root)) for file in (plan, lock)])
    again = made.release(root)
    assert again.contents.questions == 1
    with tarfile.open(again.tar) as tar:
        file_ = tar.extractfile(f"{again.contents.name}/licences/REVIEW.tsv")
        assert file_ is not None
        rows = file_.read().decode().splitlines()
    assert [row.split("\t")[:3] for row in rows[1:]] == [["sound-1.0", "MPL-2.0", "copyleft"]]


def test_licence_texts_travel(packed: made.Release) -> None:
    """Of wheels and of models, and a list of all."""
    paths = {m.entry.path for m in packed.contents.members}
    assert {"licences/sound-1.0/LICENSE", "licences/uv-0.0.1/LICENSE"} <= paths
    assert {"licences/tiny/LICENSE", "licences/vad/LICENSE", "licences/LIST.tsv"} <= {
        re.sub(r"/(tiny|vad)/\1/", r"/\1/", path) for path in paths
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (".work/wheels/sound-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", ""),
        ("store", "artifact_missing"),
    ],
)
def test_missing_or_wrong_sources(
    packed: made.Release, tmp_path: Path, path: str, code: str
) -> None:
    """A wheel or model that is absent or altered is named, and nothing is written."""
    root = tmp_path / "checkout"
    shutil.copytree(packed.root, root, symlinks=True, ignore=shutil.ignore_patterns("dist"))
    place = root / path
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.write_bytes(b"altered")
        with pytest.raises(IntegrityError) as caught:
            made.release(root)
        assert (caught.value.code, "sound" in caught.value.message) == ("bundle_altered", True)
        place.unlink()
    with pytest.raises(GlagolError) as missing:
        made.release(root)
    assert missing.value.code == (code or "bundle_missing")
    assert not (root / "dist").exists()


def test_not_a_checkout(tmp_path: Path) -> None:
    """Said with git's own words."""
    with pytest.raises(GlagolError) as caught:
        made.contents(tmp_path)
    assert caught.value.code == "bundle_source"


def test_trusted_reads_bytes_only() -> None:
    """The chain can be fed from anywhere; lists that do not agree are refused."""
    trusted = verify.Trusted(lambda _sums, _signature: "me")
    with pytest.raises(verify.BundleError, match="bad line"):
        trusted.take_sums(b"no digest\n", None)
    found = list(verify.tar_members(io.BytesIO(bytes(1024))))
    assert found == []
