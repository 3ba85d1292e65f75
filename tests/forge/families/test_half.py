"""Half precision for CUDA: what the graph is made of, and the embedded model's tokens in it.

No GPU is needed: ONNX Runtime computes half precision on a CPU by widening every operator's input
and rounding its output, which is a stand-in for the rounding of a GPU, not for its speed.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import msgspec
import numpy as np
import onnx
import pytest

import homes
from forge import seeded
from forge.running import relative_error, run, session
from glagol.forge.checkpoints.safetensors import CheckpointError, Tensors
from glagol.forge.families.base import Source
from glagol.forge.families.gigaam.build import build
from glagol.forge.families.gigaam.source import open_source
from glagol.forge.model import build_model
from glagol.registry.manifest.read import parse
from glagol.registry.manifest.types import Variant
from glagol.speech.engines.gigaam.ctc import greedy
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.engines.gigaam.rnnt import Transducer
from sounds import samples

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
SIZES = seeded.architecture(heads=4, width=48)
FILES: dict[str, Source] = {
    name: homes.ROOT / "models/gigaam-nano" / name
    for name in ("weights.safetensors", "config.json")
}


def graph(made: dict[str, bytes]) -> onnx.GraphProto:
    """The encoder as the onnx package reads it, shapes and types inferred."""
    proto = onnx.ModelProto.FromString(made["encoder.onnx"])
    return onnx.shape_inference.infer_shapes(proto).graph


def test_what_is_half_and_what_is_not() -> None:
    """Weights are half but for the first convolution and the output layer; no mask operand."""
    made = build(seeded.weights(SIZES, 1), seeded.config(SIZES), "fp16", "ctc")
    found = graph(made)
    kinds = {tensor.name: tensor.data_type for tensor in found.initializer}
    wide = {name for name, kind in kinds.items() if kind == FLOAT}
    assert wide == {
        "zero",
        "encoder.pre_encode.conv.0.weight",
        "encoder.pre_encode.conv.0.bias",
        "head.decoder_layers.0.weight",
        "head.decoder_layers.0.bias",
    }
    assert Counter(node.op_type for node in found.node)["Cast"] == 4  # 2 masks, in, out
    widths = {tensor.name: tensor.dims[-1] for tensor in found.initializer if tensor.dims}
    for node in found.node:
        if node.op_type == "MultiHeadAttention":
            assert [name for name in node.input if name] == list(node.input[:3])
    for part in ("linear_q", "linear_k", "linear_v"):
        assert widths[f"encoder.layers.0.self_attn.{part}.weight"] == SIZES.heads * 16
    assert [(o.name, o.type.tensor_type.elem_type) for o in found.output] == [
        ("log_probs", FLOAT),
        ("encoded_lengths", onnx.TensorProto.INT64),
    ]


def test_what_half_cannot_hold_is_refused() -> None:
    """Weights beyond 65504 become no infinity."""
    weights = seeded.weights(SIZES, 1)
    weights["encoder.layers.1.feed_forward2.linear1.weight"][3, 4] = 1e5
    with pytest.raises(CheckpointError, match="not finite in float16"):
        build(weights, seeded.config(SIZES), "fp16", "ctc")


@cache
def nano(head: str, precision: str) -> dict[str, bytes]:
    """The embedded model, built."""
    opened = open_source(FILES)
    return build(opened.tensors, opened.config, precision, head)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_the_embedded_model_says_the_same(head: str) -> None:
    """Labels equal fp32's in an uneven batch, frames differ by one at most, outputs by 5e-3.

    A near-tie between two frames is decided by the last bits of ONNX Runtime's products, which
    differ between processors.
    """
    made = {precision: nano(head, precision) for precision in ("fp32", "fp16")}
    tensors = {
        k: np.asarray(v, np.float32) for k, v in Tensors(made["fp32"]["head.safetensors"]).items()
    }
    sound, _ = samples()
    frames = FrontEnd(tensors["window"], tensors["mel"])(np.tile(sound, 4))
    lengths = (len(frames), len(frames) // 2, 130)
    batch = np.stack([frames] * len(lengths))
    outputs = {k: run(session(each, threads=2), batch, lengths) for k, each in made.items()}
    transducer = None
    if head == "rnnt":
        transducer = Transducer(tensors, len(tensors["joint.out.bias"]) - 1, 10)

    def decode(rows: np.ndarray) -> list[tuple[int, int]]:
        found = transducer.greedy(rows) if transducer else greedy(rows, rows.shape[1] - 1)
        return [(emission.label, emission.frame) for emission in found]

    single, half = outputs["fp32"], outputs["fp16"]
    assert np.array_equal(single[1], half[1])
    for row, end in enumerate(single[1]):
        expected, found = decode(single[0][row, :end]), decode(half[0][row, :end])
        assert [label for label, _ in found] == [label for label, _ in expected]
        assert all(abs(a - b) <= 1 for (_, a), (_, b) in zip(found, expected, strict=True))
        assert len(expected) > 5
        assert relative_error(half[0][row, :end], single[0][row, :end]) < 5e-3


def test_a_manifest_entry_builds_it() -> None:
    """`models build` makes cuda-fp16 like any other variant, the head's bytes shared."""
    manifest = parse((homes.ROOT / "manifest.json").read_bytes())
    entry = next(model for model in manifest.models if model.id == homes.MODEL)
    variants = (
        Variant(id="cuda-fp16", provider="cuda", precision="fp16"),
        Variant(id="cuda-fp8", provider="cuda", precision="fp8"),
        Variant(id="cpu-fp16", provider="cpu", precision="fp16"),
    )
    changed = msgspec.structs.replace(entry, variants=variants)
    made = build_model(changed, FILES)
    assert list(made) == ["cuda-fp16"]
    assert made["cuda-fp16"] == nano("ctc", "fp16")
    assert made["cuda-fp16"]["head.safetensors"] == nano("ctc", "fp32")["head.safetensors"]
