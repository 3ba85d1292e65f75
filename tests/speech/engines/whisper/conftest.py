"""A small made-up Whisper with random weights: it writes some text for any audio."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forge import made_whisper
from glagol.forge.families.whisper.build import build
from glagol.registry.manifest.types import Artifact, Model, Source, Variant
from glagol.registry.registry import OpenModel
from glagol.registry.store import Blob

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = dataclasses.replace(
    made_whisper.SIZES, hidden=128, encoder_layers=1, frames=1500, context=32
)
HEADS = ((0, 1), (1, 0))
SURE = 20
"""Factor of the last norm: with it the likeliest token is far likelier than all others."""


def weights(seed: int) -> dict[str, np.ndarray]:
    """Random float16 tensors under the builder's names."""
    rng = np.random.RandomState(seed)
    made: dict[str, np.ndarray] = {}
    for name, shape in SIZES.shapes():
        values = 2 * rng.random_sample(shape) - 1
        if "ln" in name and name.endswith("weight"):
            values = np.exp2(2 * values) * (SURE if name == "decoder.ln.weight" else 1)
        elif "embedding" in name:
            values *= 0.3
        elif len(shape) > 1:
            values *= math.sqrt(3 / math.prod(shape[1:]))
        else:
            values *= 0.2
        made[name] = values.astype(np.float16)
    return made


def opened(artifacts: dict[str, bytes], **decoding: Any) -> OpenModel:
    """A model of these files; some decoding parameters may be others."""
    blobs = {
        path: Blob(hashlib.sha256(data).hexdigest(), memoryview(data))
        for path, data in artifacts.items()
    }
    pinned = tuple(
        Artifact(path=path, sha256=blob.sha256, size_bytes=len(blob.data))
        for path, blob in blobs.items()
    )
    variant = Variant(id="cpu-fp32", provider="cpu", precision="fp32", artifacts=pinned)
    model = Model(
        id="made",
        engine="whisper",
        role="asr",
        version="1",
        license="MIT",
        languages=("ru", "en", "zh"),
        source=Source(repo="made/up"),
        variants=(variant,),
        decoding={
            "kind": "attention",
            "mels": SIZES.mels,
            "vocabulary": SIZES.vocabulary,
            "alignment_heads": HEADS,
            **decoding,
        },
    )
    return OpenModel(model, variant, MappingProxyType(blobs), 1, "00")


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """The artifacts of the made-up model, fp32."""
    tokens = tuple(made_whisper.tokens(SIZES.texts))
    return build(weights(seed=3), SIZES, tokens, HEADS, "fp32")


@pytest.fixture(scope="session")
def made_model(files: dict[str, bytes]) -> Callable[..., OpenModel]:
    """The made-up model, with these decoding parameters."""

    def make(**decoding: Any) -> OpenModel:
        return opened(files, **decoding)

    return make
