"""Greedy RNN-T decoding at v3 size, microseconds per encoder frame (40 ms of audio).

Made-up weights with a real emission rate (about 3.7 tokens a second); the speed depends on the rate
and on how the tokens lie. Two workloads: as speech has them, spread over time, mostly one on a
frame and as many in each recording; and `bursts`, whose weights are plainly random: from 9 to 170
tokens in a recording, many of them ten on one frame, so that the last rounds are for few.

Rivals decode the same frames over two ONNX Runtime sessions, one for the predictor and one
for the joint, as published exports have them: `upstream` runs both at every step, `cached` keeps
the prediction over blanks (onnx-asr). `batch` is ours over BATCH recordings side by side. All
tokens must agree. Everything runs on the calling thread, so its CPU time counts and other load
counts less. The bars: 50 us alone, 25 us side by side.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import report
from onnx import TensorProto, helper, numpy_helper

from glagol.runtime.ort import onnxruntime
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.types import Array

MODEL, WIDTH, CLASSES, FRAMES = 768, 320, 1025, 500
BLANK = CLASSES - 1
MAX_SYMBOLS = 10
TOKENS = 75
"""In 20 s: 3.7 a second, as Russian e2e speech has."""

BATCH = 8
REPEATS = 9
Labels = list[tuple[int, int]]


PEAK = 15.0
"""Height of a spoken token over the noise of standard deviation 1, in the joint's space."""

HUSH = 30.0
"""How strongly the prediction network speaks against the token that was just emitted."""


def weights() -> dict[str, Array]:
    """A random head."""
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


def hushing(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The same head, but a token that was emitted is not at once emitted again.

    Least squares find the side of the joint that turns the state after each token against it.
    """
    gates = tensors["embed"] @ tensors["lstm.weight_ih"].T + tensors["lstm.bias"]
    take, _, new, show = np.split(gates, 4, axis=1)
    sigmoids = [1 / (1 + np.exp(-each)) for each in (take, show)]
    hidden = sigmoids[1] * np.tanh(sigmoids[0] * np.tanh(new))
    against, *_ = np.linalg.lstsq(hidden, -HUSH * tensors["joint.out.weight"], rcond=None)
    return {
        **tensors,
        "joint.pred.weight": np.ascontiguousarray(against.T.astype(np.float32)),
        "joint.pred.bias": np.zeros(WIDTH, np.float32),
        "joint.out.bias": tensors["joint.out.bias"].copy(),
    }


def spoken(tensors: Mapping[str, Array], seed: int) -> Array:
    """Encoder frames [FRAMES, MODEL] that say TOKENS random tokens, each on a frame of its own."""
    rng = np.random.default_rng(seed)
    sides = rng.standard_normal((FRAMES, WIDTH))
    places = rng.choice(FRAMES, TOKENS, replace=False)
    said = tensors["joint.out.weight"][rng.integers(0, BLANK, TOKENS)]
    sides[places] += PEAK * said / np.linalg.norm(said, axis=1, keepdims=True)
    return (sides @ np.linalg.pinv(tensors["joint.enc.weight"]).T).astype(np.float32)


def with_rate(tensors: dict[str, Array], encoded: list[Array]) -> Transducer:
    """Choose the blank's bias for the emission rate over all recordings."""
    low, high = 0.0, 30.0
    for _ in range(20):
        tensors["joint.out.bias"][BLANK] = (low + high) / 2
        decoder = Transducer(tensors, BLANK, MAX_SYMBOLS)
        if sum(map(len, decoder.greedy_batch(encoded))) > TOKENS * len(encoded):
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


def micros(works: Mapping[str, Callable[[], object]], frames: int) -> dict[str, dict[str, float]]:
    """Median and best microseconds per frame of works that take turns, CPU time of this thread."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.thread_time()
            work()
            found[name].append((time.thread_time() - start) / frames * 1e6)
    return {
        name: {"us_per_frame_median": round(statistics.median(each), 1),
               "us_per_frame_best": round(min(each), 1)}
        for name, each in found.items()
    }  # fmt: skip


def measured(tensors: dict[str, Array], frames: list[Array]) -> dict[str, object]:
    """Times of one workload, frames [FRAMES, MODEL] each; all ways must give the same tokens."""
    encoded = [each @ tensors["joint.enc.weight"].T for each in frames]
    decoder = with_rate(tensors, encoded)
    alone = [decoder.greedy(each) for each in encoded]
    assert decoder.greedy_batch(encoded) == alone
    works: dict[str, Callable[[], object]] = {
        "alone": lambda: [decoder.greedy(each) for each in encoded],
        "batch": lambda: decoder.greedy_batch(encoded),
    }
    for name, cached in (("upstream", False), ("cached", True)):
        rivals = [by_sessions(tensors, each, cached=cached) for each in frames]
        assert [r() for r in rivals] == [[(e.label, e.frame) for e in each] for each in alone], name
        works[name] = lambda rivals=rivals: [rival() for rival in rivals]  # type: ignore[misc]
    rows = micros(works, FRAMES * BATCH)
    for row in rows.values():
        for kind in ("median", "best"):
            key = f"us_per_frame_{kind}"
            row[f"ratio_to_upstream_{kind}"] = round(rows["upstream"][key] / row[key], 1)
    return {"tokens": [len(each) for each in alone], **rows}


def main() -> None:
    """Print and store the times of both workloads."""
    random = weights()
    noise = [
        np.random.default_rng(seed).standard_normal((FRAMES, MODEL)).astype(np.float32)
        for seed in range(BATCH)
    ]
    speech = hushing(random)
    said = [spoken(speech, seed) for seed in range(BATCH)]
    figures = {**measured(speech, said), "bursts": measured(random, noise)}
    report.write("rnnt", {"recordings": BATCH, "frames": FRAMES * BATCH, **figures})


if __name__ == "__main__":
    main()
