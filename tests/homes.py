"""A home for tests: manifest, known-answer clip and a store of its own, with real models in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from glagol.registry.registry import Registry
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parent.parent
MODEL = "gigaam-nano"
OTHER = "gigaam-nano-rnnt"
VAD = "silero-vad"


def make_home(folder: Path) -> Path:
    """Fill `folder` and return it; a test may break what it finds there.

    It gets the repository's own manifest, the known-answer clip, and the embedded models.
    """
    registry = repository()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "manifest.json", folder / "manifest.json")
    (folder / "models").symlink_to(ROOT / "models")
    store = Store(folder / "store")
    for name in (MODEL, OTHER, VAD):
        for variant in registry.model(name).variants:
            for artifact in variant.artifacts:
                target = store.path_of(artifact.sha256)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    _link(registry.store.path_of(artifact.sha256), target)
    return folder


def repository() -> Registry:
    """The repository's registry; skips the test where the embedded models are not built."""
    given = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(ROOT, Path(given) if given else None)
    for name in (MODEL, OTHER, VAD):
        for variant in registry.model(name).variants:
            for artifact in variant.artifacts:
                if not registry.store.has(artifact.sha256):
                    pytest.skip(f"{artifact.path} of {name} is not in the store: ./just setup")
    return registry


def altered(home: Path, *, model: str = MODEL, artifact: str = "encoder.data") -> Path:
    """Flip a byte of an artifact in the store, in the variant that would serve; the file."""
    registry = Registry.load(home)
    found = next(a for a in registry.variant(registry.model(model)).artifacts if a.path == artifact)
    path = registry.store.path_of(found.sha256)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    return path


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy(source, target)
