"""`glagol models build` on checkpoints as published: plan, fetch, build, record, resume."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from forge import published
from forge.published import MODELS, Kind
from glagol.forge.families.gigaam import settings
from glagol.registry.manifest.read import Manifest, canonical, parse
from homes import ROOT

Run = Callable[..., Result]
CTC, RNNT, E2E_CTC, E2E_RNNT = MODELS


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A home with the repository's entries of the four models, their pins of real files dropped."""
    manifest = json.loads((ROOT / "manifest.json").read_bytes())
    value = published.unpinned(manifest, (tmp_path / "served").as_uri())
    home = tmp_path / "home"
    (home / "lock").mkdir(parents=True)
    (home / "lock/asr-cpu.txt").write_text("numpy==2\n")
    (home / "manifest.json").write_bytes(canonical(parse(json.dumps(value).encode())))
    return home


def made(folder: Path, kind: Kind, form: str) -> Path:
    return published.folder(folder / f"{kind.name}-{form}", kind, published.small(kind), form=form)


def manifest_of(home: Path) -> Manifest:
    return parse((home / "manifest.json").read_bytes())


def digests(home: Path, kind: Kind) -> dict[tuple[str, str], str]:
    (model,) = [model for model in manifest_of(home).models if model.id == kind.id]
    return {(v.id, a.path): a.sha256 for v in model.variants for a in v.artifacts}


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.name)
def test_both_forms_give_the_same_artifacts(glagol: Run, shop: Path, kind: Kind) -> None:
    """Record from Hugging Face's form; upstream's form of the same weights gives these digests."""
    hf, ckpt = made(shop / "in", kind, "hf"), made(shop / "in", kind, "ckpt")
    result = glagol("models", "build", "--home", shop, "--source", hf, "--record", kind.id)
    assert (result.status, result.out) == (0, f"{kind.id}: 12 files\n"), result.err
    recorded = digests(shop, kind)
    assert len(recorded) == 12
    (model,) = [model for model in manifest_of(shop).models if model.id == kind.id]
    weights = {file.path: file for file in model.source.files}["pytorch_model.bin"]
    data = (hf / "pytorch_model.bin").read_bytes()
    assert (weights.sha256, weights.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert model.builder is not None
    assert not model.unpinned  # everything is built
    shutil.rmtree(shop / "store")
    result = glagol("models", "build", "--home", shop, "--source", ckpt, kind.id)
    assert (result.status, result.out) == (0, f"{kind.id}: 12 files\n"), result.err
    assert digests(shop, kind) == recorded
    assert glagol("models", "verify", "--home", shop, kind.id).status == 0


def test_another_process_gives_the_same_digests(shop: Path) -> None:
    """Hash seeds, umask, time zone and folder leave no trace."""
    found = []
    for number in range(2):
        home = shop.with_name(f"home {number}")
        shutil.copytree(shop, home)
        source = made(home / "in", E2E_RNNT, ("hf", "ckpt")[number])
        code = "import sys; from glagol.cli.main import main; sys.exit(main(sys.argv[1:]))"
        arguments = ["models", "build", "--home", home, "--source", source, "--record", E2E_RNNT.id]
        environment = {
            "PYTHONPATH": ":".join(sys.path),
            "PYTHONHASHSEED": str(number),
            "TZ": f"UTC{number:+}",
        }
        command = [sys.executable, "-c", code, *map(str, arguments)]
        subprocess.run(command, env=environment, umask=(0o022, 0o077)[number], check=True)
        found.append(digests(home, E2E_RNNT))
    assert len(found[0]) == 12
    assert found[0] == found[1]


def test_the_plan_changes_nothing(glagol: Run, shop: Path) -> None:
    """Sizes, digests known and unknown, what is fetched, what is not made here, room on disk."""
    before = (shop / "manifest.json").read_bytes()
    result = glagol("models", "build", "--home", shop, "--dry-run", E2E_CTC.id)
    assert result.status == 0, result.err
    assert "pytorch_model.bin: size unknown, to fetch: file://" in result.out
    assert "at least 0 B" in result.out
    source = made(shop / "in", E2E_CTC, "hf")
    arguments = ("models", "build", "--home", shop, "--source", source, E2E_CTC.id)
    plan = glagol(*arguments, "--dry-run").out
    assert f"at {source / 'pytorch_model.bin'}; sha256 unknown" in plan
    assert "v3_e2e_ctc.ckpt: not needed" in plan
    assert "cpu-int8" in plan
    assert "digests unknown: needs --record" in plan
    sizes = dict(re.findall(r"variant  (\S+): (\d+)", plan))
    assert int(sizes["cuda-fp16"]) == pytest.approx(int(sizes["cpu-fp32"]) / 2, rel=0.1)
    few = glagol(*arguments, "--dry-run", "--variant", "cpu-int8").out
    assert "cpu-int8" in few
    assert "cuda-fp16" not in few
    wrong = glagol(*arguments, "--variant", "cpu-int3")
    assert wrong.status == 2
    assert "use one of cpu-fp32, cpu-int8, cuda-fp16" in wrong.err
    assert not (shop / "store").exists()
    assert (shop / "manifest.json").read_bytes() == before
    assert glagol(*arguments).status == 4  # no digests yet, and nothing is made for nothing
    assert not (shop / "store").exists()
    assert glagol(*arguments, "--record").status == 0
    plan = glagol(*arguments, "--dry-run").out
    assert plan.count("digests known") == 3


def test_fetching_learns_digests_once(
    glagol: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpinned files need --record; then the store has them, and the primary is asked first."""
    small = {"d_model": 48, "n_heads": 4, "pos_emb_max_len": 5000}
    monkeypatch.setattr(settings, "ENCODER", small)  # settings are not among the sources
    arguments = ("models", "build", "--home", shop, "--fetch", E2E_CTC.id)
    assert glagol(*arguments[:-2], E2E_CTC.id).status == 4
    assert "artifact_missing" in glagol(*arguments, "--record").err
    served = shop.with_name("served")
    made(served, E2E_CTC, "hf").rename(served / "e2e_ctc")
    result = glagol(*arguments)
    assert result.status == 4
    assert "artifact_unpinned" in result.err
    assert not list((shop / "store").glob("sha256/*/*"))
    version = manifest_of(shop).manifest_version
    assert glagol(*arguments, "--record").status == 0
    assert manifest_of(shop).manifest_version == version + 1
    (model,) = [model for model in manifest_of(shop).models if model.id == E2E_CTC.id]
    pins = {file.path: file.sha256 for file in model.source.files}
    assert pins["pytorch_model.bin"]
    assert pins["tokenizer.model"]
    assert not pins["v3_e2e_ctc.ckpt"]
    shutil.rmtree(served)
    assert glagol(*arguments).status == 0  # all of it is in the store


def test_the_alternative_is_fetched_where_the_first_is_gone(glagol: Run, shop: Path) -> None:
    """Upstream's own server in place of Hugging Face, with settings inside the checkpoint."""
    served = shop.with_name("served")
    made(shop / "in", CTC, "ckpt").rename(served)
    result = glagol("models", "build", "--home", shop, "--fetch", "--record", CTC.id)
    assert result.status == 0, result.err
    (model,) = [model for model in manifest_of(shop).models if model.id == CTC.id]
    pins = {file.path: file.sha256 for file in model.source.files}
    assert pins["v3_ctc.ckpt"]
    assert not pins["pytorch_model.bin"]


def test_an_interrupted_record_continues(
    glagol: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first variant: it is recorded, and --missing makes the second alone."""
    from glagol.speech.engines.gigaam import smoke

    judged: list[str] = []
    real = smoke.smoke

    def killed(opened: Any, directions: Any) -> None:
        judged.append(opened.variant.id)
        if len(judged) == 2:
            raise KeyboardInterrupt
        real(opened, directions)

    monkeypatch.setattr(smoke, "smoke", killed)
    source = made(shop / "in", RNNT, "hf")
    arguments = ("models", "build", "--home", shop, "--source", source, "--record", RNNT.id)
    assert glagol(*arguments).status == 130
    first = digests(shop, RNNT)
    assert {variant for variant, _ in first} == {"cpu-fp32"}
    result = glagol(*arguments, "--missing")
    assert (result.status, result.out) == (0, f"{RNNT.id}: 8 files\n"), result.err
    assert judged == ["cpu-fp32", "cpu-int8", "cpu-int8", "cuda-fp16"]
    assert first.items() < digests(shop, RNNT).items()
    assert glagol(*arguments, "--missing") == Result(0, "", "")


@pytest.mark.parametrize(
    ("tensor", "value", "reason"),
    [
        ("head.decoder_layers.0.bias", b"\0\0\xc0\x7f", "not finite"),
        ("encoder.pre_encode.conv.0.weight", b"\0", "a sound is like silence"),
    ],
)
def test_what_does_not_work_is_not_recorded(
    glagol: Run, shop: Path, tensor: str, value: bytes, reason: str
) -> None:
    """Weights that pass every check of form, with a NaN or without effect, are found."""
    source = made(shop / "in", CTC, "hf")
    path = source / "pytorch_model.bin"
    path.write_bytes(_overwritten(path.read_bytes(), tensor, value))
    before = (shop / "manifest.json").read_bytes()
    result = glagol("models", "build", "--home", shop, "--source", source, "--record", CTC.id)
    assert result.status == 4
    assert reason in result.err
    assert (shop / "manifest.json").read_bytes() == before


def _overwritten(data: bytes, tensor: str, value: bytes) -> bytes:
    """The checkpoint with ``value`` again and again in a tensor's place, its CRC set right."""
    number = list(published.shapes(published.small(CTC), 12)).index(tensor)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            chosen = name == f"model/data/{number}"
            new.writestr(name, value * (len(raw) // len(value)) if chosen else raw)
    return out.getvalue()


def test_a_checkpoint_that_calls_is_refused(glagol: Run, shop: Path, tmp_path: Path) -> None:
    """Exit 4, the name it asked for, nothing ran, nothing stored."""
    mark = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (mark,)

    source = made(shop / "in", CTC, "hf")
    with zipfile.ZipFile(source / "pytorch_model.bin", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"state_dict": Attack()}, 2))
    result = glagol("models", "build", "--home", shop, "--source", source, "--record", CTC.id)
    assert result.status == 4
    assert "checkpoint_refused" in result.err
    assert "getattr" in result.err
    assert not mark.exists()
    assert not (shop / "store").exists()


def test_the_tokenizer_must_fit(glagol: Run, shop: Path) -> None:
    """Another model's pieces: refused before anything is stored."""
    source = made(shop / "in", E2E_CTC, "hf")
    (source / "tokenizer.model").write_bytes(published.tokenizer(E2E_RNNT))
    result = glagol("models", "build", "--home", shop, "--source", source, "--record", E2E_CTC.id)
    assert result.status == 4
    assert "1024 pieces and a blank, but 257 classes" in result.err
    assert not (shop / "store").exists()


def test_upstreams_md5_is_checked(glagol: Run, shop: Path) -> None:
    """Of a local file without a sha256, its published MD5 must be right."""
    value = json.loads((shop / "manifest.json").read_bytes())
    for entry in value["models"]:
        for file in entry["source"]["files"]:
            if file["path"] == "v3_ctc.ckpt":
                file["md5"] = "73413e7be9c6a5935827bfab5c0dd678"
    (shop / "manifest.json").write_bytes(canonical(parse(json.dumps(value).encode())))
    source = made(shop / "in", CTC, "ckpt")
    result = glagol("models", "build", "--home", shop, "--source", source, "--record", CTC.id)
    assert result.status == 4
    assert "73413e7be9c6a5935827bfab5c0dd678" in result.err
