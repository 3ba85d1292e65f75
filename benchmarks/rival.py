"""onnx-asr 0.12 over the benchmark's model: upstream's own ONNX export, named as it asks.

Upstream names the predictor's state hi, ci -> ho, co today; onnx-asr asks for h.1, c.1 -> h, c, as
upstream's first exports had it. Names do not change the work. Its own ONNX Runtime is ours: the
telemetry switch of `glagol.runtime.ort` is set before it is imported (docs/adr/0003).
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
import v3
from onnx import TensorProto, helper, numpy_helper

from glagol.runtime.ort import onnxruntime as ort
from glagol.speech.engines.gigaam.vocabulary import Vocabulary
from glagol.speech.types import Array

NAME = "gigaam-v3-e2e-rnnt"
STEM = "v3_e2e_rnnt"


def _iofc(tensor: Array) -> Array:
    """Gates i f g o of torch to i o f c of ONNX."""
    take, keep, new, show = np.split(tensor, 4)
    return np.concatenate([take, show, keep, new])


def _save(
    name: str, nodes: list[Any], inputs: dict[str, tuple[int, list[int]]], outputs: list[str],
    tensors: dict[str, Array],
) -> None:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.ascontiguousarray(t), n) for n, t in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(v3.RIVAL / f"{STEM}_{name}.onnx"))


def _decoder(w: dict[str, Array]) -> None:
    """Embedding and LSTM, the nodes that upstream's exporter writes."""
    part = "head.decoder."
    state = (TensorProto.FLOAT, [1, 1, v3.WIDTH])
    biases = [_iofc(w[f"{part}lstm.bias_{side}_l0"]) for side in ("ih", "hh")]
    _save(
        "decoder",
        [
            helper.make_node("Gather", ["embed", "x"], ["e"]),
            helper.make_node("Transpose", ["e"], ["t"], perm=[1, 0, 2]),
            helper.make_node(
                "LSTM", ["t", "w", "r", "b", "", "h.1", "c.1"], ["y4", "h", "c"],
                hidden_size=v3.WIDTH,
            ),
            helper.make_node("Squeeze", ["y4", "one"], ["y"]),
            helper.make_node("Transpose", ["y"], ["dec"], perm=[1, 0, 2]),
        ],
        {"x": (TensorProto.INT64, [1, 1]), "h.1": state, "c.1": state},
        ["dec", "h", "c"],
        {
            "embed": w[f"{part}embed.weight"],
            "w": _iofc(w[f"{part}lstm.weight_ih_l0"])[np.newaxis],
            "r": _iofc(w[f"{part}lstm.weight_hh_l0"])[np.newaxis],
            "b": np.concatenate(biases)[np.newaxis],
            "one": np.array([1], np.int64),
        },
    )  # fmt: skip


def _joint(w: dict[str, Array]) -> None:
    """Both projections, ReLU, output, log-softmax: enc [1, D, 1], dec [1, P, 1]."""
    part = "head.joint."
    _save(
        "joint",
        [
            helper.make_node("Transpose", ["enc"], ["enc_t"], perm=[0, 2, 1]),
            helper.make_node("Transpose", ["dec"], ["dec_t"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["enc_t", "we"], ["e0"]),
            helper.make_node("Add", ["e0", "be"], ["e1"]),
            helper.make_node("Unsqueeze", ["e1", "two"], ["e"]),
            helper.make_node("MatMul", ["dec_t", "wp"], ["p0"]),
            helper.make_node("Add", ["p0", "bp"], ["p1"]),
            helper.make_node("Unsqueeze", ["p1", "one"], ["p"]),
            helper.make_node("Add", ["e", "p"], ["s"]),
            helper.make_node("Relu", ["s"], ["r"]),
            helper.make_node("MatMul", ["r", "wo"], ["o"]),
            helper.make_node("Add", ["o", "bo"], ["z"]),
            helper.make_node("LogSoftmax", ["z"], ["joint"], axis=-1),
        ],
        {
            "enc": (TensorProto.FLOAT, [1, v3.SIZES.width, 1]),
            "dec": (TensorProto.FLOAT, [1, v3.WIDTH, 1]),
        },
        ["joint"],
        {
            "we": w[f"{part}enc.weight"].T, "be": w[f"{part}enc.bias"],
            "wp": w[f"{part}pred.weight"].T, "bp": w[f"{part}pred.bias"],
            "wo": w[f"{part}joint_net.1.weight"].T, "bo": w[f"{part}joint_net.1.bias"],
            "one": np.array([1], np.int64), "two": np.array([2], np.int64),
        },
    )  # fmt: skip


def prepare() -> None:
    """Write the folder that onnx-asr reads, when it is not there yet."""
    done = v3.RIVAL / "config.json"
    if done.exists():
        return
    from onnxruntime.quantization import quantize_dynamic

    v3.RIVAL.mkdir(parents=True, exist_ok=True)
    weights = v3.weights()
    _decoder(weights)
    _joint(weights)
    encoder = v3.RIVAL / f"{STEM}_encoder.onnx"
    if not encoder.exists():
        os.link(v3.upstream_encoder(), encoder)
    for part in ("encoder", "decoder", "joint"):
        small = v3.RIVAL / f"{STEM}_{part}.int8.onnx"
        quantize_dynamic(str(v3.RIVAL / f"{STEM}_{part}.onnx"), str(small))
    vocabulary = Vocabulary.read(v3.sentencepiece().write())
    lines = [f"{piece} {number}" for number, piece in enumerate((*vocabulary.pieces, "<blk>"))]
    (v3.RIVAL / f"{STEM}_vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"model_type": "gigaam", "version": "v3", "max_tokens_per_step": v3.MAX_SYMBOLS}
    done.write_text(json.dumps(settings))


def load(quantization: str | None, threads: int) -> Any:
    """The model as onnx-asr loads it, its batch size 1; sessions get our options.

    Args:
        quantization: None for fp32, or "int8".
        threads: of each session.
    """
    assert ort.__version__
    import onnx_asr

    prepare()
    return onnx_asr.load_model(
        NAME,
        v3.RIVAL,
        quantization=quantization,
        sess_options=v3.quiet(threads),
        providers=["CPUExecutionProvider"],
    )


def load_vad(threads: int) -> Any:
    """Silero VAD as onnx-asr loads it."""
    import onnx_asr

    return onnx_asr.load_vad(
        "silero", v3.SILERO, sess_options=v3.quiet(threads), providers=["CPUExecutionProvider"]
    )
