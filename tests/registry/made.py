"""Made-up manifest entries: small, sound, and free to be broken by a test."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from glagol.registry.manifest.read import (
    Artifact,
    Builder,
    Defaults,
    Golden,
    Manifest,
    Model,
    Source,
    SourceFile,
    Variant,
)

CTC = {"kind": "ctc", "sample_rate": 16_000}
RNNT = {"kind": "rnnt", "max_symbols": 10}

DIGEST = hashlib.sha256(b"made up").hexdigest()


def artifact(data: bytes, path: str = "encoder.onnx", urls: tuple[str, ...] = ()) -> Artifact:
    """The entry of some bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(path=path, sha256=digest, size_bytes=len(data), urls=urls)


def variant(name: str, *artifacts: Artifact) -> Variant:
    """A variant by its id, such as cpu-int8."""
    provider, _, precision = name.partition("-")
    facts = {"id": name, "provider": provider, "precision": precision}
    return msgspec.convert(facts | {"artifacts": artifacts}, Variant)


def asr_model(
    name: str,
    *variants: Variant,
    decoding: dict[str, Any] | None = None,
    engine: str = "gigaam",
    **rest: Any,
) -> Model:
    """A recogniser; without variants one that was never built."""
    if not variants:
        variants = (variant("cpu-fp32"),)
        rest.setdefault("unpinned", "not built yet")
    return Model(
        id=name,
        engine=engine,
        version="1",
        license="MIT",
        languages=("ru",),
        source=Source(
            repo="made/up", files=(SourceFile(path="weights.safetensors", sha256=DIGEST),)
        ),
        builder=Builder(name="glagol.forge", version="1", lock_sha256=DIGEST),
        variants=variants,
        decoding=decoding or CTC,
        golden=Golden(
            audio="models/m/golden/clip.flac",
            audio_sha256=DIGEST,
            transcript="models/m/golden/clip.txt",
            transcript_sha256=DIGEST,
        ),
        **rest,
    )


def vad_model(name: str = "vad") -> Model:
    """A voice activity detector."""
    return Model(
        id=name,
        engine="silero",
        version="1",
        license="MIT",
        source=Source(repo="made/vad"),
        variants=(variant("cpu-fp32", artifact(b"vad graph", "vad.onnx")),),
        decoding={"kind": "vad", "threshold": 0.5},
    )


def manifest(*models: Model) -> Manifest:
    """A manifest whose default recogniser is the first model given."""
    models = models or (asr_model("m", variant("cpu-fp32", artifact(b"graph"))),)
    return Manifest(
        manifest_version=1,
        min_reader_version=1,
        defaults=Defaults(asr=models[0].id, vad="vad"),
        models=(*models, vad_model()),
    )
