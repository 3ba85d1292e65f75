"""A home for tests: manifest, known-answer clip and a store of its own, with a real model in it.

`make_home` is the one place that knows where tests get their model from.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import sounds
from glagol.registry.manifest import parse
from glagol.registry.registry import Registry
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parent.parent
MODEL = "gigaam-nano"
OTHER = "gigaam-nano-rnnt"
VAD = "silero-vad"
SCRATCH = ROOT / ".work"


def make_home(folder: Path) -> Path:
    """Fill `folder` and return it; a test may break what it finds there.

    The repository's own manifest and store when the embedded model is in them; until then a
    prototype of the same model. Skips the test when neither is there.
    """
    manifest = ROOT / "manifest.json"
    if manifest.is_file() and any(m.id == MODEL for m in parse(manifest.read_bytes()).models):
        _copy_repository(folder)
    elif (SCRATCH / "proto/ctc-int8").is_dir():
        _copy_prototype(folder)
    else:
        pytest.skip("no model has been built: run ./just setup")
    return folder


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


def _copy_repository(folder: Path) -> None:
    registry = Registry.load(ROOT, _store())
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "manifest.json", folder / "manifest.json")
    (folder / "models").symlink_to(ROOT / "models")
    store = Store(folder / "store")
    for name in (MODEL, OTHER, VAD):
        for variant in registry.model(name).variants:
            for artifact in variant.artifacts:
                source = registry.store.path_of(artifact.sha256)
                if not source.is_file():
                    pytest.skip(f"{artifact.path} of {name} is not in the store: ./just setup")
                target = store.path_of(artifact.sha256)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    _link(source, target)


def _store() -> Path | None:
    given = os.environ.get("GLAGOL_STORE")
    return Path(given) if given else None


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy(source, target)


def _copy_prototype(folder: Path) -> None:
    store = Store(folder / "store")
    silero = SCRATCH / "silero/silero_vad/data/silero_vad_16k_sequence.onnx"
    entries = [
        _entry("ctc", MODEL, store),
        _entry("rnnt", OTHER, store),
        {
            "id": VAD,
            "engine": "silero",
            "version": "6.2.3",
            "license": "MIT",
            "source": {"repo": "snakers4/silero-vad"},
            "variants": [_variant("cpu-fp32", "fp32", [silero], store)],
            "decoding": {"kind": "vad"},
        },
    ]
    clip = sounds.clip()
    (folder / "clip.wav").write_bytes(clip)
    manifest = {
        "manifest_version": 1,
        "min_reader_version": 1,
        "defaults": {"asr": MODEL, "vad": VAD},
        "models": entries,
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    text = _hypothesis(folder, clip).encode()
    (folder / "clip.txt").write_bytes(text)
    for entry in entries[:1]:
        entry["golden"] = {
            "audio": "clip.wav",
            "audio_sha256": hashlib.sha256(clip).hexdigest(),
            "transcript": "clip.txt",
            "transcript_sha256": hashlib.sha256(text).hexdigest(),
        }
    path.write_text(json.dumps(manifest))


def _hypothesis(folder: Path, clip: bytes) -> str:
    from glagol.speech.recognizer import Recognizer

    recognizer = Recognizer.open(Registry.load(folder), variant="cpu-int8")
    return recognizer.transcribe(io.BytesIO(clip)).text


def _entry(head: str, name: str, store: Store) -> dict[str, Any]:
    proto = {kind: SCRATCH / f"proto/{head}-{kind}" for kind in ("int8", "fp32")}
    return {
        "id": name,
        "engine": "gigaam",
        "version": "0",
        "license": "MIT",
        "languages": ["ru"],
        "source": {"repo": "none"},
        "variants": [
            _variant(f"cpu-{kind}", kind, sorted(files.iterdir()), store)
            for kind, files in proto.items()
        ],
        "decoding": {"kind": head},
        "note": "synthetic voices only; for people use gigaam-v3",
    }


def _variant(name: str, precision: str, files: list[Path], store: Store) -> dict[str, Any]:
    return {
        "id": name,
        "provider": "cpu",
        "precision": precision,
        "artifacts": [
            {"path": f.name, "sha256": store.add_file(f), "size_bytes": f.stat().st_size}
            for f in files
        ],
    }
