"""Which operators take an encoder's time, by ONNX Runtime's profiler, beside probes of products.

Usage: benchmarks/run operators -- [--seconds 10,20,25] [--repeats 5] [--only int8]

GigaAM-v3's and Whisper base's encoders, weights from a seed, as a server opens them here. One
thread; of every node the fastest run counts. Times are on the clock: on a busy machine trust the
shares alone. The probes are one large product, alone, in the same run: its rate is the best that
products in an encoder can reach with that kernel.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import report
import turns
import v3
from onnx import TensorProto, helper, numpy_helper

from forge import made_whisper, seeded
from glagol.forge.families.whisper import encoder as whisper_encoder
from glagol.forge.families.whisper.layers import Layers
from glagol.forge.families.whisper.sizes import Sizes
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import FloatLinear
from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.runtime.external_data import external_tensors
from glagol.runtime.kernels.adapt import adapt
from glagol.runtime.kernels.choice import library, operators_of
from glagol.runtime.ort import onnxruntime as ort

PARTS = {
    "MultiHeadAttention": "attention (scores, softmax, values)",
    "DynamicQuantizeMatMul": "products in int8, their inputs' quantisation",
    "MatMulIntegerToFloat": "products in int8, their inputs' quantisation",
    "DynamicQuantizeLinear": "products in int8, their inputs' quantisation",
    "MatMul": "products in fp32",
    "FusedMatMul": "products in fp32",
    "QuickGelu": "SiLU and gates",
    "Gelu": "SiLU and gates",
    "BiasGelu": "SiLU and gates",
    "Sigmoid": "SiLU and gates",
    "LayerNormalization": "layer norms",
    "SkipLayerNormalization": "layer norms",
    "Conv": "convolutions",
    "Add": "sums",
}
PROBE = (500, 768, 3072)
"""Rows, depth and columns: 20 s of GigaAM-v3 through the first product of a feed-forward."""

BASE = Sizes(
    mels=80,
    width=512,
    hidden=2048,
    encoder_layers=6,
    decoder_layers=6,
    frames=1500,
    context=448,
    vocabulary=51_865,
)
"""Of Whisper base."""

Inputs = Mapping[str, np.ndarray]


def session(graph: bytes, data: bytes, file: str, options: ort.SessionOptions) -> Any:
    """A session of a graph, its weights in `data`, with the operators that are used here."""
    options.add_external_initializers_from_files_in_memory([file], [data], [len(data)])
    if path := library():
        views = {t.name: t.view(memoryview(data)) for t in external_tensors(memoryview(graph))}
        if adapted := adapt(memoryview(graph), views, operators_of(path)):
            options.register_custom_ops_library(path)
            graph = adapted.graph
    return ort.InferenceSession(graph, options, ["CPUExecutionProvider"])


def node_times(graph: bytes, data: bytes, file: str, inputs: Inputs, repeats: int) -> list[Any]:
    """Operator and fastest run in milliseconds of every node."""
    options = v3.quiet(1)
    with tempfile.TemporaryDirectory() as place:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(place) / "profile")
        runs_of = session(graph, data, file, options)
        for _ in range(repeats + 1):
            runs_of.run(None, inputs)
        events = json.loads(Path(runs_of.end_profiling()).read_text())
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = re.sub("_kernel_time$", "", event["name"])
            runs[event["args"]["op_name"], name].append(event["dur"] / 1e3)
    return [(operator, min(each)) for (operator, _), each in runs.items()]


def shares(times: list[Any], macs: float) -> dict[str, Any]:
    """Milliseconds and share of each part, and the rate of the products."""
    parts: dict[str, float] = defaultdict(float)
    for operator, each in times:
        parts[PARTS.get(operator.removeprefix("Vector"), "everything else")] += each
    whole = sum(parts.values())
    products = sum(each for part, each in parts.items() if part.startswith("products"))
    rows = {
        part: {"ms": round(each, 1), "share_percent": round(100 * each / whole, 1)}
        for part, each in sorted(parts.items(), key=lambda pair: -pair[1])
    }
    rate = round(macs / products / 1e6, 1)
    return {"ms": round(whole, 1), "products_gmac_per_s": rate, "parts": rows}


def gigaam(variant: str, seconds: int, repeats: int) -> dict[str, Any]:
    """GigaAM-v3's encoder."""
    blobs = Registry.load(v3.ours(), trust=Trust.receipt).open(v3.ID, variant).blobs
    files = (bytes(blobs["encoder.onnx"].data), bytes(blobs["encoder.data"].data), "encoder.data")
    frames = seconds * 100 - 1
    features = seeded.features(frames, 1, v3.SIZES.features, 3)
    inputs = {"features": features, "lengths": np.array([frames], np.int64)}
    weights = v3.encoder_weights()
    matrices = (k for k, v in weights.items() if v.ndim > 1 and ".layers." in k)
    macs = sum(weights[k].size for k in matrices if "depthwise" not in k) * (frames // 4 + 1)
    return shares(node_times(*files, inputs, repeats), macs)


def whisper(repeats: int) -> dict[str, Any]:
    """Whisper base's encoder of a window of 30 s, in fp32."""
    weights = made_whisper.weights(BASE)
    graph = Graph("encoder", "encoder.data")
    linear = FloatLinear(graph, np.float32)
    whisper_encoder.author(Layers(graph, BASE, weights, linear, linear))
    made = graph.finish("0", {})
    cross = BASE.decoder_layers * 2 * BASE.width**2
    layers = BASE.encoder_layers * (4 * BASE.width**2 + 2 * BASE.width * BASE.hidden)
    inputs = {"mel": seeded.features(2 * BASE.frames, 1, BASE.mels, 3).transpose(0, 2, 1).copy()}
    times = node_times(made[0], made[1], "encoder.data", inputs, repeats)
    return shares(times, BASE.frames * (layers + cross))


def probes(repeats: int) -> dict[str, float]:
    """GMAC/s of one product alone: ONNX Runtime's in fp32 and int8, and int8 as used here."""
    rows, depth, columns = PROBE
    random = np.random.default_rng(1)
    single = random.standard_normal((depth, columns)).astype(np.float32)
    constants = {"w": single}
    bytes_ = {
        "w": random.integers(-127, 128, single.shape).astype(np.int8),
        "s": np.full(columns, 0.01, np.float32),
    }
    kinds = {
        "fp32, ONNX Runtime": ("MatMul", "", constants),
        "int8, ONNX Runtime": ("DynamicQuantizeMatMul", "com.microsoft", bytes_),
    }
    works = {}
    x = random.standard_normal((rows, depth)).astype(np.float32)
    for name, (kind, domain, given) in kinds.items():
        node = helper.make_node(kind, ["x", *given], ["y"], domain=domain)
        made = ort.InferenceSession(_model(node, given), v3.quiet(1), ["CPUExecutionProvider"])
        works[name] = lambda made=made: made.run(None, {"x": x})
        graph = adapted_model(_model(node, given))
        if graph is not None:
            options = v3.quiet(1)
            options.register_custom_ops_library(library())
            ours = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
            works[name.replace("ONNX Runtime", "ours")] = lambda made=ours: made.run(None, {"x": x})
    times = turns.take_turns(works, 3 * repeats)
    return {
        name: round(rows * depth * columns / min(each.processor) / 1e9, 1)
        for name, each in times.items()
    }


def adapted_model(data: bytes) -> bytes | None:
    """The graph with the operators that are used here; None where it stays as it is."""
    path = library()
    found = adapt(memoryview(data), {}, operators_of(path)) if path else None
    return found.graph if found else None


def _model(node: Any, constants: Inputs) -> bytes:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "probe",
        [value("x", TensorProto.FLOAT, ["t", PROBE[1]])],
        [value("y", TensorProto.FLOAT, ["t", PROBE[2]])],
        [numpy_helper.from_array(each, name) for name, each in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="glagol.forge"
    )
    data: bytes = made.SerializeToString()
    return data


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", default="10,20,25")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=tuple(v3.VARIANTS.values()))
    options = parser.parse_args()
    found: dict[str, Any] = {"probes_gmac_per_s": probes(options.repeats)}
    for variant, name in v3.VARIANTS.items():
        if options.only in {None, name}:
            for seconds in map(int, options.seconds.split(",")):
                row = f"GigaAM-v3, {name}, {seconds} s"
                found[row] = gigaam(variant, seconds, options.repeats)
    if options.only in {None, "fp32"}:
        found["Whisper base, fp32, 30 s"] = whisper(options.repeats)
    report.write("operators", found)


if __name__ == "__main__":
    main()
