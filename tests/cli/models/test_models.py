"""`glagol models`: the list, verification, fetching and building, on real stores."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from forge import seeded
from glagol.cli.commands.demo import word_errors
from glagol.forge.checkpoints.safetensors import write_safetensors
from glagol.registry.manifest.read import canonical, parse
from glagol.registry.registry import Registry
from homes import MODEL, OTHER, VAD, altered

Run = Callable[..., Result]
VARIANTS = [
    {"id": "cpu-fp32", "provider": "cpu", "precision": "fp32"},
    {"id": "cpu-int8", "provider": "cpu", "precision": "int8"},
]


def test_the_list_shows_what_is_there(glagol: Run, own_home: Path) -> None:
    """Present, missing and unpinned; the note that a user must read; the same as JSON."""
    registry = Registry.load(own_home)
    gone = registry.variant(registry.model(VAD)).artifacts[0]
    registry.store.path_of(gone.sha256).unlink()
    table = glagol("models", "list", "--home", own_home).out
    assert registry.model(MODEL).note in table
    data = json.loads(glagol("models", "list", "--json", "--home", own_home).out)
    models = {entry["id"]: entry for entry in data["models"]}
    assert models[VAD]["variants"]["cpu-fp32"]["state"] == "missing"
    assert models[MODEL]["variants"]["cpu-int8"]["state"] == "present"
    assert models[MODEL]["default_for"] == ["asr"]
    assert data["manifest_sha256"] == registry.manifest_sha256


def test_verify_hashes_every_byte(glagol: Run, own_home: Path) -> None:
    """Right: exit 0. One flipped bit: exit 4 with both digests, the other models still checked."""
    assert glagol("models", "verify", "--home", own_home, MODEL, VAD).status == 0
    path = altered(own_home)
    right = path.parent.name + path.name
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    result = glagol("models", "verify", "--home", own_home)
    assert result.status == 4
    assert right in result.err
    assert found in result.err
    assert f"{VAD}: 1 files verified" in result.out
    path.unlink()
    missing = glagol("models", "verify", "--home", own_home, MODEL)
    assert missing.status == 4
    assert "artifact_missing" in missing.err


def test_fetch_brings_models_from_a_mirror(glagol: Run, home: Path, own_home: Path) -> None:
    """A copy of the store is a mirror; what it has wrong is refused; what is there stays."""
    shutil.rmtree(own_home / "store")
    mirror = (home / "store").as_uri()
    result = glagol("models", "fetch", "--home", own_home, "--mirror", mirror, MODEL, VAD)
    assert result.status == 0, result.err
    assert glagol("models", "verify", "--home", own_home, MODEL, VAD).status == 0
    registry = Registry.load(own_home)
    assert any(
        not registry.store.has(a.sha256) for a in registry.variant(registry.model(OTHER)).artifacts
    )
    broken = own_home / "broken"
    shutil.copytree(home / "store", broken, copy_function=shutil.copy)
    wanted = registry.variant(registry.model(OTHER)).artifacts
    data = next(a for a in wanted if a.path == "encoder.data").sha256
    bad = broken / "sha256" / data[:2] / data[2:]
    bad.chmod(0o644)
    bad.write_bytes(bytes(bad.stat().st_size))
    result = glagol("models", "fetch", "--home", own_home, "--mirror", broken.as_uri(), OTHER)
    assert result.status == 4
    assert data in result.err
    assert not registry.store.has(data)
    assert glagol("models", "fetch", "--home", own_home, "--mirror", "ftp://x/y", OTHER).status == 2


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A home with the sources of a small seeded model, not built yet, and of a copied one."""
    home = tmp_path / "workshop"
    source = home / "models/small"
    source.mkdir(parents=True)
    sizes = seeded.architecture()
    (source / "weights.safetensors").write_bytes(write_safetensors(seeded.weights(sizes, 1)))
    (source / "config.json").write_text(json.dumps(seeded.config(sizes)))
    (home / "lock").mkdir()
    (home / "lock/asr-cpu.txt").write_text("numpy==2\n")
    voice = home / "wheel/voice/data/voice.onnx"
    voice.parent.mkdir(parents=True)
    voice.write_bytes(b"not really a graph")
    manifest = {
        "manifest_version": 3,
        "min_reader_version": 1,
        "defaults": {"asr": "small", "vad": "voice"},
        "models": [
            {
                **_entry("small", "gigaam", {"kind": sizes.head}),
                "source": {"repo": "none", "files": [_file(source, "weights.safetensors"),
                                                     _file(source, "config.json")]},
                "variants": VARIANTS,
                "unpinned": "not built yet",
            },
            {
                **_entry("voice", "silero", {"kind": "vad"}),
                "source": {"repo": "none",
                           "files": [_file(home / "wheel", "voice/data/voice.onnx")]},
                "variants": [{**VARIANTS[0], "artifacts": [
                    {**_file(voice.parent, "voice.onnx"), "size_bytes": 18}]}],
            },
            {
                **_entry("elsewhere", "gigaam", {"kind": "ctc"}),
                "source": {"repo": "none", "files": [{"path": "big.bin", "sha256": "1" * 64}]},
                "variants": VARIANTS,
                "unpinned": "its source is on another machine",
            },
        ],
    }  # fmt: skip
    (home / "manifest.json").write_bytes(canonical(parse(json.dumps(manifest).encode())))
    return home


def test_build_record_verify(glagol: Run, workshop: Path) -> None:
    """Record once, then every later build must give the same bytes; the version grows by one."""
    assert glagol("models", "build", "--home", workshop, "small").status == 4  # no digests yet
    assert glagol("models", "build", "--home", workshop, "--record", "small").status == 0
    manifest = parse((workshop / "manifest.json").read_bytes())
    assert (workshop / "manifest.json").read_bytes() == canonical(manifest)
    assert manifest.manifest_version == 4
    small = manifest.models[0]
    assert [len(variant.artifacts) for variant in small.variants] == [4, 4]
    assert small.unpinned == ""
    assert small.builder is not None
    assert glagol("models", "verify", "--home", workshop, "small").status == 0
    shutil.rmtree(workshop / "store")
    assert glagol("models", "build", "--home", workshop, "small").status == 0
    assert glagol("models", "build", "--home", workshop, "--record", "small").status == 0
    assert parse((workshop / "manifest.json").read_bytes()) == manifest


def test_a_build_that_differs_is_not_stored(glagol: Run, workshop: Path) -> None:
    """A digest in the manifest that the build does not give: exit 4, both digests, empty store."""
    glagol("models", "build", "--home", workshop, "--record", "small")
    path = workshop / "manifest.json"
    right = parse(path.read_bytes()).models[0].variants[0].artifacts[0].sha256
    path.write_text(path.read_text().replace(right, "0" * 64))
    shutil.rmtree(workshop / "store")
    result = glagol("models", "build", "--home", workshop, "small")
    assert result.status == 4
    assert right in result.err
    assert "0" * 64 in result.err
    assert not (workshop / "store").exists()


def test_missing_builds_what_can_be_built(glagol: Run, workshop: Path) -> None:
    """Without ids: models whose sources are here; those of other machines are passed over."""
    glagol("models", "build", "--home", workshop, "--record", "small")
    shutil.rmtree(workshop / "store")
    arguments = ("models", "build", "--home", workshop, "--missing")
    result = glagol(*arguments, "--source", workshop / "wheel")
    assert (result.status, result.err) == (0, "")
    assert result.out == "small: 8 files\nvoice: 1 files\n"
    assert glagol(*arguments, "--source", workshop / "wheel") == Result(0, "", "")
    assert glagol("models", "build", "--home", workshop).status == 2
    named = glagol("models", "build", "--home", workshop, "elsewhere")
    assert named.status == 4
    assert "big.bin" in named.err
    assert "--source" in named.err


def test_altered_sources_are_not_built(glagol: Run, workshop: Path) -> None:
    """The source is pinned too."""
    (workshop / "models/small/config.json").write_text("{}")
    result = glagol("models", "build", "--home", workshop, "--record", "small")
    assert result.status == 4
    assert "config.json" in result.err
    assert not (workshop / "store").exists()


def test_demo_says_text_and_error_rate(glagol: Run, home: Path) -> None:
    """The bundled clip, its transcript and an honest note."""
    result = glagol("demo", "--home", home)
    assert result.status == 0, result.err
    assert "word error rate" in result.out
    assert Registry.load(home).model(MODEL).note in result.out


def test_word_errors_is_the_edit_distance() -> None:
    """Known values."""
    for want, got, errors in (("а б в", "а б в", 0), ("а б в", "а в", 1), ("", "а б", 2),
                              ("а б в г", "б в д г", 2), ("а", "", 1)):  # fmt: skip
        assert word_errors(want.split(), got.split()) == errors


def _entry(name: str, engine: str, decoding: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "engine": engine,
        "version": "1",
        "license": "MIT",
        "decoding": decoding,
    }


def _file(folder: Path, name: str) -> dict[str, Any]:
    return {"path": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
