"""From a manifest entry and its source files to the artifacts of every variant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge import seeded
from glagol.core.errors import IntegrityError
from glagol.forge.checkpoints.safetensors import write_safetensors
from glagol.forge.families.gigaam.build import build
from glagol.forge.model import build_model
from glagol.registry.manifest.types import Model, Source, Variant

SIZES = seeded.architecture(layers=1)
WEIGHTS = write_safetensors(seeded.weights(SIZES, 1))
CTC, RNNT = {"kind": "ctc"}, {"kind": "rnnt"}
CONFIG = json.dumps(seeded.config(SIZES)).encode()


def _model(decoding: dict[str, Any] | None) -> Model:
    return Model(
        id="small",
        engine="gigaam",
        version="1",
        license="MIT",
        source=Source(repo="example"),
        variants=(
            Variant(id="cpu-fp32", provider="cpu", precision="fp32"),
            Variant(id="cpu-int8", provider="cpu", precision="int8"),
            Variant(id="cuda-fp16", provider="cuda", precision="fp16"),
        ),
        decoding=decoding,
    )


def test_every_variant_is_built(tmp_path: Path) -> None:
    """From bytes or from a path, as ``build`` makes them."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(WEIGHTS)
    made = build_model(_model(CTC), {"a/weights.safetensors": path, "a/config.json": CONFIG})
    assert sorted(made) == ["cpu-fp32", "cpu-int8", "cuda-fp16"]
    expected = build(seeded.weights(SIZES, 1), seeded.config(SIZES), "int8", "ctc")
    assert made["cpu-int8"] == expected


@pytest.mark.parametrize(
    ("decoding", "files", "code"),
    [
        (CTC, {"config.json": CONFIG}, "artifact_missing"),
        (CTC, {"w.safetensors": WEIGHTS}, "artifact_missing"),
        (RNNT, {"w.safetensors": WEIGHTS, "config.json": CONFIG}, "artifact_altered"),
        (None, {"w.safetensors": WEIGHTS, "config.json": CONFIG}, "artifact_altered"),
        (CTC, {"w.safetensors": WEIGHTS, "config.json": b"{"}, "artifact_altered"),
        (CTC, {"w.bin": b"PK\x03\x04", "config.json": CONFIG}, "checkpoint_refused"),
        (CTC, {"w.safetensors": WEIGHTS[:-4], "config.json": CONFIG}, "artifact_altered"),
    ],
)
def test_misfits_carry_their_code(
    decoding: dict[str, Any] | None, files: dict[str, bytes], code: str
) -> None:
    """What is missing and what does not fit have different errors."""
    with pytest.raises(IntegrityError) as caught:
        build_model(_model(decoding), files)
    assert caught.value.code == code
