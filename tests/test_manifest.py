"""Every digest of the committed manifest is computed again; every version is in the changelog.

That the file is canonical and its schema current is held by tests/registry.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from glagol.registry.manifest.read import Artifact, Model, parse
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = parse((ROOT / "manifest.json").read_bytes())
STORE = Store(Path(os.environ.get("GLAGOL_STORE") or ROOT / "store"))
OURS = "this repository"  # `source.repo` of a model whose weights are committed


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong(pins: dict[Path, str]) -> dict[Path, str]:
    """Files that do not have their pins, with what they have."""
    found = {path: sha256(path) if path.is_file() else "no file" for path in pins}
    return {path: found[path] for path in pins if found[path] != pins[path]}


def artifacts() -> Iterator[tuple[Model, Artifact]]:
    """Every artifact of every variant."""
    for model in MANIFEST.models:
        for variant in model.variants:
            for artifact in variant.artifacts:
                yield model, artifact


@pytest.mark.parametrize("model", MANIFEST.models, ids=lambda model: model.id)
def test_committed_sources_have_their_pins(model: Model) -> None:
    """Weights that this repository holds are there; what else of the sources is here is right."""
    for file in model.source.files:
        path = ROOT / file.path
        if model.source.repo == OURS or path.is_file():
            assert file.sha256 is not None, file.path
            assert wrong({path: file.sha256}) == {}
            assert file.size_bytes in {None, path.stat().st_size}


@pytest.mark.parametrize("model", MANIFEST.models, ids=lambda model: model.id)
def test_known_answer_clips_have_their_pins(model: Model) -> None:
    """Clip and transcript belong together, so both are pinned."""
    golden = model.golden
    if golden is not None:
        pins = {
            ROOT / golden.audio: golden.audio_sha256,
            ROOT / golden.transcript: golden.transcript_sha256,
        }
        assert wrong(pins) == {}


def test_store_has_the_pinned_bytes() -> None:
    """Every artifact that the store has is the pinned one, to the byte; of ours all are there."""
    here = {
        STORE.path_of(artifact.sha256): artifact
        for model, artifact in artifacts()
        if STORE.has(artifact.sha256)
    }
    if not here:
        pytest.skip("no model is in the store: ./just setup")
    assert wrong({path: artifact.sha256 for path, artifact in here.items()}) == {}
    assert all(path.stat().st_size == artifact.size_bytes for path, artifact in here.items())
    absent = [
        f"{artifact.path} of {model.id}"
        for model, artifact in artifacts()
        if model.source.repo == OURS and not STORE.has(artifact.sha256)
    ]
    assert absent == []


def test_every_manifest_version_is_in_the_changelog() -> None:
    """From 1 to the present one, and none that does not exist yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    said = {int(number) for number in re.findall(r"^- manifest_version (\d+):", text, re.MULTILINE)}
    assert said == set(range(1, MANIFEST.manifest_version + 1))
