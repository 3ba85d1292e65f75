"""Building: the same bytes always, one name scheme for all checkpoints, misfits refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from forge import seeded
from glagol.forge.checkpoints.safetensors import CheckpointError, Tensors
from glagol.forge.families.gigaam.architecture import Precision, infer
from glagol.forge.families.gigaam.build import build
from glagol.forge.families.gigaam.head import head_tensors
from glagol.forge.families.gigaam.weights import MEL, WINDOW, normalise

ROOT = Path(__file__).resolve().parents[3]
SIZES = seeded.architecture(layers=1)
RNNT = seeded.architecture(layers=1, head="rnnt", joint=16)
NAMES = ["encoder.onnx", "encoder.data", "head.safetensors", "vocabulary.json"]
SCRIPT = """
import hashlib
from forge import seeded
from glagol.forge.families.gigaam.build import build
sizes = seeded.architecture(layers=1)
for precision in ("fp32", "int8"):
    made = build(seeded.weights(sizes, 1), seeded.config(sizes), precision, "ctc")
    for name, data in made.items():
        print(precision, name, hashlib.sha256(data).hexdigest())
"""


def _elsewhere(folder: Path, **environment: str) -> str:
    path = [str(ROOT / "packages" / name / "src") for name in ("forge", "registry")]
    variables = {"PYTHONPATH": os.pathsep.join([*path, str(ROOT / "tests")]), **environment}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_bytes_depend_on_nothing_else(tmp_path: Path) -> None:
    """Two processes with other folder, hash seed, zone, locale and CPU features: equal bytes."""
    one = _elsewhere(tmp_path, PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C")
    plain = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX X86_V3 X86_V4"
    known = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = " ".join(name for name in plain.split() if name in known)
    two = _elsewhere(
        ROOT, PYTHONHASHSEED="2", TZ="UTC", LC_ALL="C.UTF-8", NPY_DISABLE_CPU_FEATURES=disabled
    )
    assert one == two
    assert len(one.splitlines()) == 8


def test_artifacts_are_complete(tmp_path: Path) -> None:
    """Four files; the graph passes the checker; variants share what does not differ."""
    made = {
        precision: build(seeded.weights(SIZES, 1), seeded.config(SIZES), precision, "ctc")
        for precision in ("fp32", "int8")
    }
    for precision, files in made.items():
        assert list(files) == NAMES
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        onnx.checker.check_model(tmp_path / "encoder.onnx")
        graph = onnx.load(tmp_path / "encoder.onnx", load_external_data=False).graph
        kinds = {node.op_type for node in graph.node}
        assert ("MatMulIntegerToFloat" in kinds) == (precision == "int8")
        assert [value.name for value in graph.input] == ["features", "lengths"]
        assert [value.name for value in graph.output] == ["log_probs", "encoded_lengths"]
    for shared in ("head.safetensors", "vocabulary.json"):
        assert made["fp32"][shared] == made["int8"][shared]


def test_external_data_is_aligned_and_dense() -> None:
    """Every tensor starts at a multiple of 64 bytes, none overlaps, gaps are below 64 bytes."""
    made = build(seeded.weights(SIZES, 1), seeded.config(SIZES), "int8", "ctc")
    graph = onnx.ModelProto.FromString(made["encoder.onnx"]).graph
    places = []
    for tensor in graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            assert entries["location"] == "encoder.data"
            places.append((int(entries["offset"]), int(entries["length"])))
    end = 0
    for offset, length in places:
        assert offset % 64 == 0
        assert 0 <= offset - end < 64
        end = offset + length
    assert end == len(made["encoder.data"])


def _two_heads() -> dict[str, np.ndarray]:
    both: dict[str, np.ndarray] = {}
    for sizes, name in ((SIZES, "ctc"), (RNNT, "rnnt")):
        for key, value in seeded.weights(sizes, 1).items():
            both[key.replace("head.", f"{name}.", 1) if key.startswith("head.") else key] = value
    return both


def test_two_heads_over_one_encoder() -> None:
    """A checkpoint with ctc.* and rnnt.* builds both, each as if it were alone."""
    for sizes in (SIZES, RNNT):
        both = _two_heads()
        alone = {k: v for k, v in both.items() if k.startswith("encoder.")}
        alone |= {
            k.replace(f"{sizes.head}.", "head.", 1): v
            for k, v in both.items()
            if k.startswith(f"{sizes.head}.")
        }
        config = seeded.config(sizes)
        assert build(both, config, "fp32", sizes.head) == build(alone, config, "fp32", sizes.head)


def test_published_layout_gives_the_same_bytes() -> None:
    """Names with ``model.`` before them and the nested configuration change nothing."""
    weights = seeded.weights(SIZES, 1)
    flat = seeded.config(SIZES)
    inner = {"encoder": flat["encoder"], "decoding": {"vocabulary": flat["vocabulary"]}}
    nested = {"cfg": {"model": {"cfg": inner}}}
    published = {f"model.{name}": value for name, value in weights.items()}
    assert build(published, nested, "int8", "ctc") == build(weights, flat, "int8", "ctc")


def test_half_precision_sources_give_single_precision_artifacts() -> None:
    """float16 weights are widened exactly: the same as widening them before."""
    half = {k: v.astype(np.float16) for k, v in seeded.weights(RNNT, 1).items()}
    wide = {k: v.astype(np.float32) for k, v in half.items()}
    config = seeded.config(RNNT)
    made = build(half, config, "fp32", "rnnt")
    assert made == build(wide, config, "fp32", "rnnt")
    assert {v.dtype for v in Tensors(made["head.safetensors"]).values()} == {np.dtype("<f4")}


def test_head_tensors() -> None:
    """The predictor's two biases are one; buffers of the checkpoint win over computed ones."""
    weights = seeded.weights(RNNT, 1)
    weights |= {WINDOW: np.full(320, 0.5), MEL: np.full((161, 64), 0.25)}
    made = head_tensors(RNNT, weights)
    both = [weights[f"head.decoder.lstm.bias_{part}_l0"] for part in ("ih", "hh")]
    assert np.array_equal(made["lstm.bias"], both[0] + both[1])
    assert (made["window"] == 0.5).all()
    assert (made["mel"] == 0.25).all()
    assert made["embed"].shape == (RNNT.classes, seeded.PREDICTOR)
    assert sorted(made) == [
        "embed", "joint.out.bias", "joint.out.weight", "joint.pred.bias", "joint.pred.weight",
        "lstm.bias", "lstm.weight_hh", "lstm.weight_ih", "mel", "window",
    ]  # fmt: skip


def test_vocabulary_of_characters() -> None:
    """Canonical JSON: blank after the last letter."""
    made = build(seeded.weights(SIZES, 1), seeded.config(SIZES), "fp32", "ctc")
    read = json.loads(made["vocabulary.json"])
    assert (read["blank"], read["kind"], read["pieces"][0]) == (33, "characters", "а")


def test_int8_is_small() -> None:
    """The layers' matrices, most of the model, take a quarter."""
    sizes = seeded.architecture(width=96, hidden=384)
    both = [
        build(seeded.weights(sizes, 1), seeded.config(sizes) | {}, precision, "ctc")
        for precision in ("fp32", "int8")
    ]
    table = 2 * 5000 * sizes.head_size // 2 * 4
    fp32, int8 = (len(made["encoder.data"]) - table for made in both)
    assert int8 < 0.33 * fp32


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder.layers.0.feed_forward1.linear2.weight", np.nan),
        ("encoder.layers.0.norm_conv.bias", np.inf),
        ("head.joint.pred.weight", np.nan),
        ("head.decoder.embed.weight", -np.inf),
    ],
)
def test_weights_that_are_not_numbers_are_refused(
    precision: Precision, name: str, value: float
) -> None:
    """One NaN or infinity anywhere, in any precision: named, nothing is built."""
    weights = seeded.weights(RNNT, 1)
    weights[name] = weights[name].copy()
    weights[name].reshape(-1)[-1] = value
    with pytest.raises(CheckpointError, match=f"{name} holds values that are not finite"):
        build(weights, seeded.config(RNNT), precision, "rnnt")


Change = Callable[[dict[str, np.ndarray], dict[str, object]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, _: w.pop("encoder.layers.0.self_attn.linear_q.bias"), "linear_q.bias"),
        (lambda w, _: w.pop("head.decoder_layers.0.weight"), "no ctc head"),
        (lambda w, _: w.pop("encoder.pre_encode.conv.0.weight"), "pre_encode"),
        (lambda w, _: w.update({WINDOW: np.zeros(400)}), "window"),
        (lambda _, c: c.pop("encoder"), "encoder section"),
        (lambda _, c: c.update(vocabulary=["а"]), "classes"),
        (lambda _, c: c.pop("vocabulary"), "vocabulary"),
        (lambda _, c: c["encoder"].update(d_model=64), "d_model"),
        (lambda _, c: c["encoder"].update(n_heads=5), "heads"),
        (lambda _, c: c["encoder"].pop("n_heads"), "n_heads"),
        (lambda _, c: c["encoder"].update(self_attention_model="rel_pos"), "rel_pos"),
        (lambda _, c: c["encoder"].update(conv_norm_type="batch_norm"), "batch_norm"),
        (lambda w, _: w.update({"encoder.layers.7.norm_out.bias": np.zeros(1)}), "consecutive"),
        (lambda w, _: w["encoder.layers.0.norm_out.bias"].resize(3), "norm_out.bias"),
    ],
)
def test_misfits_are_refused(change: Change, message: str) -> None:
    """What does not fit together is named, and nothing is built."""
    weights, config = seeded.weights(SIZES, 1), seeded.config(SIZES)
    weights = {name: value.copy() for name, value in weights.items()}
    change(weights, config)
    with pytest.raises(CheckpointError, match=message):
        build(weights, config, "int8", "ctc")


def test_sizes_come_from_shapes() -> None:
    """Everything but heads and rotary base is read off the tensors."""
    weights = normalise(seeded.weights(RNNT, 1), "rnnt")
    assert infer({"encoder": {"n_heads": RNNT.heads}}, weights, "rnnt") == RNNT


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_digests_are_stable(precision: Precision) -> None:
    """The artifacts of a fixed model; a change here must raise BUILDER_VERSION."""
    made = build(seeded.weights(SIZES, 1), seeded.config(SIZES), precision, "ctc")
    digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in made.items()}
    golden = json.loads((Path(__file__).parent.parent / "golden/digests.json").read_text())
    assert digests == golden[precision]
