"""Which operators take the encoder's time, at v3 size, by ONNX Runtime's own profiler.

Usage: benchmarks/run operators -- [--variant cpu-int8] [--seconds 20] [--repeats 5]

One thread; of every node the fastest run counts, so other load counts little.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import recordings
import report
import v3

from glagol.forge.families.gigaam.weights import MEL, WINDOW
from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.runtime.ort import onnxruntime as ort
from glagol.speech.engines.gigaam.features import FrontEnd

PARTS = {
    "MultiHeadAttention": "attention (scores, softmax, values)",
    "DynamicQuantizeMatMul": "products in int8, their inputs' quantisation",
    "MatMulIntegerToFloat": "products in int8, their inputs' quantisation",
    "DynamicQuantizeLinear": "products in int8, their inputs' quantisation",
    "MatMul": "products in fp32",
    "FusedMatMul": "products in fp32",
    "QuickGelu": "SiLU and gates",
    "Sigmoid": "SiLU and gates",
    "LayerNormalization": "layer norms",
    "Add": "sums",
}


def node_times(variant: str, seconds: int, repeats: int) -> dict[str, float]:
    """Fastest run of every node, milliseconds by operator and node."""
    blobs = Registry.load(v3.ours(), trust=Trust.receipt).open(v3.ID, variant).blobs
    data = bytes(blobs["encoder.data"].data)
    options = v3.quiet(1)
    options.add_external_initializers_from_files_in_memory(["encoder.data"], [data], [len(data)])
    held = v3.front_weights()
    mel = FrontEnd(held[WINDOW], held[MEL])(recordings.speech(seconds))
    inputs = {"features": mel[np.newaxis], "lengths": np.array([len(mel)])}
    with tempfile.TemporaryDirectory() as place:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(place) / "profile")
        graph = bytes(blobs["encoder.onnx"].data)
        session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
        for _ in range(repeats + 1):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = re.sub("_kernel_time$", "", event["name"])
            runs[f"{event['args']['op_name']} {name}"].append(event["dur"] / 1e3)
    return {name: min(each) for name, each in runs.items()}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variant", default="cpu-int8", choices=tuple(v3.VARIANTS))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    times = node_times(options.variant, options.seconds, options.repeats)
    parts: dict[str, float] = defaultdict(float)
    for name, each in times.items():
        parts[PARTS.get(name.split()[0], "everything else")] += each
    whole = sum(parts.values())
    rows = {
        part: {"ms": round(each, 1), "share_percent": round(100 * each / whole, 1)}
        for part, each in sorted(parts.items(), key=lambda pair: -pair[1])
    }
    about = {"variant": options.variant, "seconds": options.seconds, "ms": round(whole, 1)}
    report.write("operators", about | {"parts": rows})


if __name__ == "__main__":
    main()
