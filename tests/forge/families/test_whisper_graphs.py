"""Whisper's graphs compute its formula, in one call or token by token, alone or in beams."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from forge import made_whisper as made
from forge.running import exact_int8
from forge.running_whisper import State, encode, session
from forge.whisper_formula import Formula
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.whisper import build as building
from glagol.forge.families.whisper.build import NAMES, build
from glagol.forge.families.whisper.smoothing import Smoothed
from glagol.forge.onnx.linear import Int8Linear

ROOT = Path(__file__).resolve().parents[3]
TOKENS = [50258, 17, 4000, 51864]
MEL = (np.random.RandomState(3).random_sample((made.SIZES.mels, 30)) * 2 - 1).astype(np.float32)
SCRIPT = """
import hashlib
from forge import made_whisper as made
from glagol.forge.families.whisper.build import build
for precision in ("fp32", "int8", "fp16"):
    files = build(made.weights(), made.SIZES, tuple(made.tokens(50257)), made.HEADS, precision)
    for name, data in files.items():
        print(precision, name, hashlib.sha256(data).hexdigest()[:16])
"""


@cache
def artifacts(precision: Any) -> dict[str, bytes]:
    """The made-up model, built."""
    tokens = tuple(made.tokens(made.SIZES.texts))
    return build(made.weights(), made.SIZES, tokens, made.HEADS, precision)


@cache
def formula() -> tuple[Formula, np.ndarray]:
    """The formula and what its encoder gives for MEL."""
    model = Formula(made.weights())
    return model, model.encode(MEL)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest value expected."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def cross_error(precision: str) -> float:
    """The largest error of the encoder's outputs."""
    model, encoded = formula()
    outputs = encode(artifacts(precision), MEL)
    return max(
        error(outputs[f"cross_{part}_{layer}"][0], model.cross(encoded, layer, part))
        for layer in range(made.SIZES.decoder_layers)
        for part in ("key", "value")
    )


@pytest.mark.parametrize(
    ("precision", "crosses", "scores"),
    [
        ("fp32", 1e-5, 1e-5),
        ("fp16", 2e-3, 2e-3),
        pytest.param("int8", 0.07, 0.07, marks=exact_int8),
    ],
)
def test_graphs_compute_the_formula(precision: str, crosses: float, scores: float) -> None:
    """Keys and values of cross-attention, logits, and queries of the alignment heads in order."""
    model, encoded = formula()
    assert cross_error(precision) < crosses
    expected, queries = model.decode(TOKENS, encoded)
    built = artifacts(precision)
    logits, found = State(session(built, "decoder"), encode(built, MEL)).step([TOKENS])
    assert logits.dtype == found.dtype == np.float32
    assert error(logits[0], expected) < scores
    for place, (layer, head) in enumerate(made.HEADS):
        assert error(found[0, :, place], queries[layer][:, head]) < scores


def test_token_by_token_is_the_same_as_at_once() -> None:
    """Steps give what the prompt gives; a rewound cache gives the same bits as a fresh one."""
    built = artifacts("fp32")
    opened, cross = session(built, "decoder"), encode(built, MEL)
    whole, queries = State(opened, cross).step([TOKENS])
    state = State(opened, cross)
    steps = [state.step([[token]]) for token in TOKENS]
    assert error(np.concatenate([logits for logits, _ in steps], axis=1), whole) < 1e-5
    assert error(np.concatenate([q for _, q in steps], axis=1), queries) < 1e-5
    state.count = 2
    again = [state.step([[token]])[0] for token in TOKENS[2:]]
    for (first, _), second in zip(steps[2:], again, strict=True):
        assert np.array_equal(first, second)


def test_logits_come_for_the_tokens_that_are_asked_for() -> None:
    """`at` picks positions, in its order; queries come for all of them."""
    built = artifacts("fp32")
    opened, cross = session(built, "decoder"), encode(built, MEL)
    whole, _ = State(opened, cross).step([TOKENS])
    few, queries = State(opened, cross).step([TOKENS], at=[3, 0])
    assert error(few, whole[:, [3, 0]]) < 1e-6
    assert queries.shape == (1, len(TOKENS), len(made.HEADS), 64)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("int8", 0.02)])
def test_beams_share_one_recording(precision: str, most: float) -> None:
    """Rows of different tokens over one cross-attention are what each is alone."""
    built = artifacts(precision)
    opened, cross = session(built, "decoder"), encode(built, MEL)
    rows = [TOKENS, [50258, 9, 9, 77], [50258, 8, 4, 2]]
    beams = State(opened, cross, beams=3)
    for start, end in ((0, 2), (2, 3), (3, 4)):
        together, queries = beams.step([row[start:end] for row in rows])
    for number, row in enumerate(rows):
        alone, query = State(opened, cross).step([row])
        assert error(together[number], alone[0, 3:]) < most
        assert error(queries[number], query[0, 3:]) < most


def test_evening_out_changes_only_the_rounding() -> None:
    """In float32 the evened-out weights compute the same."""
    smooth = Formula(dict(Smoothed(made.weights(), made.SIZES)))
    model, encoded = formula()
    found = smooth.encode(MEL)
    for layer in range(made.SIZES.decoder_layers):
        for part in ("key", "value"):
            expected = model.cross(encoded, layer, part)
            assert error(smooth.cross(found, layer, part), expected) < 1e-5
    changed = Smoothed(made.weights(), made.SIZES)["encoder.ln_post.weight"]
    assert error(changed, made.weights()["encoder.ln_post.weight"].astype(np.float32)) > 0.1


def loud(norms: bool) -> made.Weights:
    """The same function with a few columns 30 times larger: behind norms, or inside feed-forward.

    What reads them is as many times smaller.
    """
    weights = {name: value.astype(np.float32) for name, value in made.weights().items()}
    for number in range(made.SIZES.encoder_layers):
        key = f"encoder.blocks.{number}"
        if not norms:
            weights[f"{key}.mlp.0.weight"][:4] *= 30
            weights[f"{key}.mlp.2.weight"][:, :4] /= 30
            continue
        for norm, readers in (
            ("attn_ln", ("attn.query", "attn.key", "attn.value")),
            ("mlp_ln", ("mlp.0",)),
        ):
            for part in ("weight", "bias"):
                weights[f"{key}.{norm}.{part}"][:4] *= 30
            for reader in readers:
                weights[f"{key}.{reader}.weight"][:, :4] /= 30
    return weights


@pytest.mark.parametrize(
    ("norms", "name", "other"),
    [
        (True, "Smoothed", lambda weights, _: weights),
        pytest.param(False, "BlockLinear", Int8Linear, marks=exact_int8),
    ],
)
def test_both_additions_lower_the_error_of_int8(
    norms: bool, name: str, other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where some columns are loud, evening out or a scale for each row lowers it by 15 %."""
    weights = loud(norms)
    model = Formula(weights)
    expected = model.cross(model.encode(MEL), 1, "value")

    def distance() -> float:
        files = building._encoder(weights, made.SIZES, "int8").finish("test", {})
        outputs = encode(dict(zip(NAMES[:2], files, strict=True)), MEL)
        difference = outputs["cross_value_1"][0] - expected
        return float(np.linalg.norm(difference) / np.linalg.norm(expected))

    with_it = distance()
    monkeypatch.setattr(building, name, other)
    assert with_it < 0.85 * distance()


def test_the_table_of_tokens_is_there_once(tmp_path: Path) -> None:
    """The data file of the int8 decoder holds it once, under two names; the graphs are sound."""
    for precision in ("fp32", "int8", "fp16"):
        files = artifacts(precision)
        assert tuple(files) == NAMES
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        for name in ("encoder", "decoder"):
            onnx.checker.check_model(tmp_path / f"{name}.onnx")
    graph = onnx.ModelProto.FromString(artifacts("int8")["decoder.onnx"]).graph
    places: dict[str, set[str]] = {}
    for tensor in graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "offset":
                places.setdefault(entry.value, set()).add(tensor.name)
    assert [names for names in places.values() if len(names) > 1] == [{"table", "scores.weight"}]
    most = made.SIZES.vocabulary * made.SIZES.width * 1.1
    assert len(artifacts("int8")["decoder.data"]) < most + 500_000


def test_tokens_of_the_artifact_are_those_of_the_tokenizer() -> None:
    """One base64 line per id, an empty token included; the graphs name the file's digest."""
    data = artifacts("fp32")["tokens.txt"]
    lines = data.split(b"\n")
    assert len(lines) == made.SIZES.texts + 1
    assert lines[-2:] == [b"", b""]
    proto = onnx.ModelProto.FromString(artifacts("fp32")["decoder.onnx"])
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    assert notes == {"precision": "fp32", "tokens": hashlib.sha256(data).hexdigest()}


def elsewhere(folder: Path, **environment: str) -> str:
    """The digests as another process finds them."""
    path = [str(ROOT / "packages" / name / "src") for name in ("core", "forge", "registry")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join([*path, str(ROOT / "tests")]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_bytes_depend_on_nothing_else(tmp_path: Path) -> None:
    """Two processes with other folder, hash seed, zone and CPU features: the kept digests.

    A change of the digests must raise BUILDER_VERSION.
    """
    plain = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX X86_V3 X86_V4"
    known = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = " ".join(name for name in plain.split() if name in known)
    kept = (ROOT / "tests/forge/golden/whisper_digests.json").read_text()
    expected = [f"{p} {n} {d}" for p, files in json.loads(kept).items() for n, d in files.items()]
    one = elsewhere(tmp_path, PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C")
    two = elsewhere(ROOT, PYTHONHASHSEED="2", TZ="UTC", NPY_DISABLE_CPU_FEATURES=disabled)
    assert one.splitlines() == two.splitlines() == expected


@pytest.mark.parametrize(
    ("value", "precision", "message"),
    [(np.inf, "int8", "not finite"), (np.nan, "fp32", "not finite"), (1e5, "fp16", "float16")],
)
def test_weights_that_no_number_holds_are_refused(
    value: float, precision: Any, message: str
) -> None:
    """Infinity, NaN, and in half precision what is beyond 65504."""
    weights = made.weights()
    name = "decoder.blocks.1.mlp.0.bias"
    weights[name] = weights[name].astype(np.float32)
    weights[name][3] = value
    with pytest.raises(CheckpointError, match=message):
        build(weights, made.SIZES, (b"",), made.HEADS, precision)


@pytest.mark.parametrize("heads", [(), ((1, 0), (0, 1)), ((0, 0), (0, 0)), ((2, 0),), ((0, 2),)])
def test_alignment_heads_that_the_model_lacks_are_refused(
    heads: tuple[tuple[int, int], ...],
) -> None:
    """None, not ascending, twice, a layer or a head too many."""
    with pytest.raises(CheckpointError, match="alignment head"):
        build(made.weights(), made.SIZES, (b"",), heads, "fp32")
