"""Greedy RNN-T decoding at v3 size, microseconds per encoder frame (40 ms of audio).

Random weights with a real emission rate (about 3.7 tokens a second); the speed depends on the rate
only. Rivals decode the same frames over two ONNX Runtime sessions, one for the predictor and one
for the joint, as published exports have them: `upstream` runs both at every step, `cached` keeps
the prediction over blanks (onnx-asr). All tokens must agree. Everything runs on the calling
thread, so its CPU time counts and other load does not. The bar: 60 us.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import report
from onnx import TensorProto, helper, numpy_helper

from glagol.speech.rnnt import Transducer
from glagol.speech.runtime import onnxruntime
from glagol.speech.types import Array

MODEL, WIDTH, CLASSES, FRAMES = 768, 320, 1025, 500
BLANK = CLASSES - 1
MAX_SYMBOLS = 10
TOKENS = 75
"""In 20 s: 3.7 a second, as Russian e2e speech has."""

REPEATS = 9
Labels = list[tuple[int, int]]


def weights() -> dict[str, Array]:
    """A head whose acoustic side decides, so that tokens are spread over time."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float) -> Array:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    tensors = {
        "embed": normal(CLASSES, WIDTH, scale=1.0),
        "lstm.weight_ih": normal(4 * WIDTH, WIDTH, scale=0.05),
        "lstm.weight_hh": normal(4 * WIDTH, WIDTH, scale=0.05),
        "lstm.bias": normal(4 * WIDTH, scale=0.1),
        "joint.pred.weight": normal(WIDTH, WIDTH, scale=0.2),
        "joint.pred.bias": normal(WIDTH, scale=0.1),
        "joint.enc.weight": normal(WIDTH, MODEL, scale=0.04),
        "joint.out.weight": normal(CLASSES, WIDTH, scale=0.05),
        "joint.out.bias": normal(CLASSES, scale=0.1),
    }
    tensors["embed"][BLANK] = 0.0  # padding_idx of upstream: the start symbol of its exports
    return tensors


def with_rate(tensors: dict[str, Array], encoded: Array) -> Transducer:
    """Choose the blank's bias for the emission rate."""
    low, high = 0.0, 30.0
    for _ in range(20):
        tensors["joint.out.bias"][BLANK] = (low + high) / 2
        decoder = Transducer(tensors, BLANK, MAX_SYMBOLS)
        if len(decoder.greedy(encoded)) > TOKENS:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    tensors["joint.out.bias"][BLANK] = high
    return Transducer(tensors, BLANK, MAX_SYMBOLS)


def session(
    nodes: list[object],
    inputs: dict[str, tuple[int, list[int]]],
    outputs: list[str],
    tensors: Mapping[str, Array],
) -> onnxruntime.InferenceSession:
    """A session over a few nodes, one thread."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.ascontiguousarray(t), name) for name, t in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def iofc(tensor: Array) -> Array:
    """Gates i f g o of torch to i o f c of ONNX."""
    take, keep, new, show = np.split(tensor, 4)
    return np.concatenate([take, show, keep, new])


def predictor(t: Mapping[str, Array]) -> onnxruntime.InferenceSession:
    """Embedding and LSTM: x [1, 1], h, c [1, 1, P] -> y, ho, co."""
    state = (TensorProto.FLOAT, [1, 1, WIDTH])
    bias = iofc(t["lstm.bias"])
    return session(
        [
            helper.make_node("Gather", ["embed", "x"], ["e"]),
            helper.make_node(
                "LSTM", ["e", "w", "r", "b", "", "h", "c"], ["y", "ho", "co"], hidden_size=WIDTH
            ),
        ],
        {"x": (TensorProto.INT64, [1, 1]), "h": state, "c": state},
        ["ho", "co"],
        {
            "embed": t["embed"],
            "w": iofc(t["lstm.weight_ih"])[np.newaxis],
            "r": iofc(t["lstm.weight_hh"])[np.newaxis],
            "b": np.concatenate([bias, np.zeros_like(bias)])[np.newaxis],
        },
    )


def joint(t: Mapping[str, Array]) -> onnxruntime.InferenceSession:
    """Both projections, ReLU, output, log-softmax: enc [1, D], dec [1, P] -> [1, C]."""
    return session(
        [
            helper.make_node("MatMul", ["enc", "we"], ["a"]),
            helper.make_node("MatMul", ["dec", "wp"], ["b0"]),
            helper.make_node("Add", ["b0", "bp"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["s"]),
            helper.make_node("Relu", ["s"], ["r"]),
            helper.make_node("MatMul", ["r", "wo"], ["o"]),
            helper.make_node("Add", ["o", "bo"], ["z"]),
            helper.make_node("LogSoftmax", ["z"], ["p"], axis=-1),
        ],
        {"enc": (TensorProto.FLOAT, [1, MODEL]), "dec": (TensorProto.FLOAT, [1, WIDTH])},
        ["p"],
        {
            "we": t["joint.enc.weight"].T,
            "wp": t["joint.pred.weight"].T,
            "bp": t["joint.pred.bias"],
            "wo": t["joint.out.weight"].T,
            "bo": t["joint.out.bias"],
        },
    )


def by_sessions(t: Mapping[str, Array], frames: Array, *, cached: bool) -> Callable[[], Labels]:
    """The loop of published exports, with or without a cache of the prediction."""
    network, scores = predictor(t), joint(t)
    zero = np.zeros((1, 1, WIDTH), np.float32)

    def decode() -> Labels:
        out: Labels = []
        label, hidden, cell, fresh = BLANK, zero, zero, None
        for frame in range(len(frames)):
            for _ in range(MAX_SYMBOLS):
                if fresh is None or not cached:
                    x = np.array([[label]], np.int64)
                    fresh = network.run(None, {"x": x, "h": hidden, "c": cell})
                inputs = {"enc": frames[frame : frame + 1], "dec": fresh[0][0]}
                best = int(scores.run(None, inputs)[0].argmax())
                if best == BLANK:
                    break
                out.append((best, frame))
                label, (hidden, cell), fresh = best, fresh, None
        return out

    return decode


def micros(work: Callable[[], object]) -> tuple[float, float]:
    """Median and best microseconds per frame, by CPU time of this thread."""
    found = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        found.append((time.thread_time() - start) / FRAMES * 1e6)
    return statistics.median(found), min(found)


def main() -> None:
    """Print and store the times; assert that all ways give the same tokens."""
    tensors = weights()
    frames = np.random.default_rng(1).standard_normal((FRAMES, MODEL)).astype(np.float32)
    encoded = frames @ tensors["joint.enc.weight"].T
    decoder = with_rate(tensors, encoded)
    ours = [(e.label, e.frame) for e in decoder.greedy(encoded)]
    median, best = micros(lambda: decoder.greedy(encoded))
    figures: dict[str, object] = {
        "frames": FRAMES,
        "tokens": len(ours),
        "us_per_frame_median": median,
        "us_per_frame_best": best,
        "ms_per_audio_second": median * 25 / 1000,
        "bar_us": 60,
    }
    for name, cached in (("upstream", False), ("cached", True)):
        work = by_sessions(tensors, frames, cached=cached)
        assert work() == ours, name
        rival, rival_best = micros(work)
        figures |= {
            f"{name}_us_per_frame_median": rival,
            f"{name}_us_per_frame_best": rival_best,
            f"ratio_to_{name}": rival / median,
        }
    report.write("rnnt", figures)


if __name__ == "__main__":
    main()
