"""`glagol models fetch` of a language model: pinned, not pinned yet, not even named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import Result
from glagol.registry.registry import Registry
from homes import MODEL
from registry.mirror import Mirror

Run = Callable[..., Result]
FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"weights" * 1000}


@pytest.fixture
def upstream() -> Iterator[Mirror]:
    """Serves the files of a small language model."""
    with Mirror({f"/r/{name}": data for name, data in FILES.items()}) as running:
        yield running


@pytest.fixture
def home(own_home: Path, upstream: Mirror) -> Path:
    """A home whose manifest has one language model more: one file pinned, one not."""
    manifest = json.loads((own_home / "manifest.json").read_bytes())
    weights = FILES["model.safetensors"]
    manifest["models"].append(
        {
            "id": "talker",
            "engine": "vllm",
            "version": "1",
            "license": "MIT",
            "source": {
                "repo": "made/up",
                "files": [_config(upstream), _weights(upstream, weights)],
            },
            "variants": [{"id": "cuda-bf16", "provider": "cuda", "precision": "bf16"}],
            "unpinned": "a file has no digest",
        }
    )
    (own_home / "manifest.json").write_text(json.dumps(manifest))
    return own_home


def _config(upstream: Mirror) -> dict[str, Any]:
    return {"path": "config.json", "urls": [f"{upstream.url}/r/config.json"], "unpinned": "new"}


def _weights(upstream: Mirror, data: bytes) -> dict[str, Any]:
    return {
        "path": "model.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "urls": [f"{upstream.url}/r/model.safetensors"],
    }


def test_what_is_not_pinned_is_refused_then_recorded(glagol: Run, home: Path) -> None:
    """--record fills digests, artifacts and changelog; afterwards it verifies like any model."""
    refused = glagol("models", "fetch", "talker", "--home", home)
    assert refused.status == 4
    assert "artifact_unpinned" in refused.err
    assert "glagol models fetch talker --record" in refused.err
    before = Registry.load(home).manifest.manifest_version
    done = glagol("models", "fetch", "talker", "--record", "--home", home)
    assert (done.status, done.out) == (0, "talker: 2 files present and verified\n")
    registry = Registry.load(home)
    assert registry.manifest.manifest_version == before + 1
    opened = registry.open("talker")
    assert {name: bytes(blob.data) for name, blob in opened.blobs.items()} == FILES
    assert registry.model("talker").unpinned == ""
    assert f"manifest_version {before + 1}: `talker`" in (home / "CHANGELOG.md").read_text()
    assert glagol("models", "verify", "talker", "--home", home).status == 0
    assert glagol("models", "fetch", "talker", "--home", home).status == 0


def test_an_altered_file_is_never_recorded(glagol: Run, home: Path, upstream: Mirror) -> None:
    """The pinned digest stays the pin."""
    upstream.files["/r/model.safetensors"] = b"others" * 1000
    before = (home / "manifest.json").read_bytes()
    result = glagol("models", "fetch", "talker", "--record", "--home", home)
    assert result.status == 4
    assert (home / "manifest.json").read_bytes() == before


def test_language_models_come_only_by_name(glagol: Run, home: Path) -> None:
    """The bare command brings the small ones; the list says what has no pin."""
    glagol("models", "fetch", "talker", "--record", "--home", home)
    result = glagol("models", "fetch", "--home", home)
    assert "talker" not in result.out
    assert f"{MODEL}:" in result.out
    listed = glagol("models", "list", "--home", home).out
    assert "gigachat3-10b-a1.8b" in listed
    assert "unpinned: no commit is pinned" in listed


@pytest.mark.parametrize("name", [MODEL, "gigachat3-10b-a1.8b"])
def test_what_cannot_be_recorded_is_refused(glagol: Run, home: Path, name: str) -> None:
    """A built model, and one without named files."""
    result = glagol("models", "fetch", name, "--record", "--home", home)
    assert result.status == 2
    assert "glagol models" in result.err


def test_a_language_model_is_not_built(glagol: Run, home: Path) -> None:
    """And the error says what to do instead."""
    result = glagol("models", "build", "talker", "--home", home)
    assert result.status == 2
    assert "glagol models fetch talker" in result.err
