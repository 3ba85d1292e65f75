"""The encoder at GigaAM-v3 size: our graphs against upstream's own ONNX export, same weights.

Usage: GIGAAM_SRC=DIR benchmarks/run encoder [--threads 1,2] [--seconds 10,20,25] [--repeats N]

Weights are random (speed does not depend on them; the errors do, real activations have outliers).
Upstream's export and our graphs are kept in BENCH_CACHE (default .work/bench), about 2 GB. The
sessions take turns. Wall and processor time are both given, best and median: on a busy machine the
ratio of best processor times is the figure to trust. Bars at 20 s: fp32 1.2, int8 3.5.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import report

from glagol.speech.runtime import onnxruntime as ort

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "packages/forge/src")]

from forge import seeded  # noqa: E402
from glagol.forge.build import build_graph  # noqa: E402

CACHE = Path(os.environ.get("BENCH_CACHE", ROOT / ".work/bench"))
SIZES = seeded.architecture(
    width=768, layers=16, heads=16, hidden=3072, head="rnnt", classes=34, joint=320
)
SEED = 1
GAIN = math.sqrt(1 / 3)
"""Brings the seeded matrices to torch's default spread: frames keep differing after 16 layers."""
UPSTREAM = CACHE / "upstream_encoder.onnx"


@dataclass
class Times:
    """Wall and processor seconds of every run of one graph."""

    wall: list[float]
    processor: list[float]


def random_weights() -> dict[str, np.ndarray]:
    """Return the weights of every graph here, under upstream's names."""
    made = seeded.weights(SIZES, SEED)
    return {k: (v * np.float32(GAIN) if v.ndim > 1 else v) for k, v in made.items()}


def export_upstream(checkout: Path) -> None:
    """Run upstream's exporter in this process; its file depends on what ran before in it."""
    from forge.golden import upstream

    modules = upstream.load(checkout)
    encoder = upstream.encoder(modules, SIZES, random_weights())
    with encoder.onnx_export_mode():
        modules["utils"].onnx_converter(
            UPSTREAM.stem, encoder, str(CACHE), dynamic_axes=encoder.dynamic_axes()
        )


def prepare() -> dict[str, Path]:
    """Return the graphs by name, making what is not in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not UPSTREAM.exists():
        checkout = os.environ.get("GIGAAM_SRC")
        if not checkout:
            sys.exit("set GIGAAM_SRC to a checkout of upstream (commit 8555893 or later)")
        subprocess.run([sys.executable, __file__, "--export", checkout], check=True)
    paths = {"upstream": UPSTREAM}
    weights = random_weights()
    for precision in ("fp32", "int8"):
        folder = CACHE / precision
        folder.mkdir(exist_ok=True)
        model, data = build_graph(SIZES, weights, precision)
        (folder / "encoder.onnx").write_bytes(model)
        (folder / "encoder.data").write_bytes(data)
        paths[precision] = folder / "encoder.onnx"
    return paths


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """Open a graph; idle threads sleep, or they would burn the others' time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def feeds(name: str, seconds: int) -> dict[str, np.ndarray]:
    """Return the inputs of one graph for one clip."""
    frames = seconds * 100 - 1
    features = seeded.features(frames, 1, SIZES.features, 3)
    lengths = np.array([frames], np.int64)
    if name == "upstream":
        turned = np.ascontiguousarray(features.transpose(0, 2, 1))
        return {"audio_signal": turned, "length": lengths}
    return {"features": features, "lengths": lengths}


def measure(
    sessions: dict[str, ort.InferenceSession], seconds: int, repeats: int
) -> tuple[dict[str, Times], dict[str, np.ndarray]]:
    """Run the sessions in turn; return their times (first run left out) and outputs."""
    inputs = {name: feeds(name, seconds) for name in sessions}
    times = {name: Times([], []) for name in sessions}
    outputs: dict[str, np.ndarray] = {}
    for turn in range(repeats + 1):
        for name, opened in sessions.items():
            wall, processor = time.perf_counter(), time.process_time()
            outputs[name] = opened.run(None, inputs[name])[0]
            if turn:
                times[name].wall.append(time.perf_counter() - wall)
                times[name].processor.append(time.process_time() - processor)
    return times, outputs


def errors(outputs: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return relative RMS errors of our joint inputs, whole and without the mean over time."""
    weights = random_weights()
    encoded = outputs["upstream"][0].T.astype(np.float64)
    expected = encoded @ weights["head.joint.enc.weight"].T + weights["head.joint.enc.bias"]
    centred = expected - expected.mean(axis=0)
    found = {}
    for name in ("fp32", "int8"):
        miss = np.sqrt(np.mean((outputs[name][0] - expected) ** 2))
        found[name] = {
            "relative": float(miss / np.sqrt(np.mean(expected**2))),
            "centred": float(miss / np.sqrt(np.mean(centred**2))),
        }
    return found


def row(times: dict[str, Times], seconds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds, real-time factor and ratios to upstream for every graph."""
    base = times["upstream"]
    table = {}
    for name, own in times.items():
        table[name] = {
            "wall_best_ms": 1e3 * min(own.wall),
            "wall_median_ms": 1e3 * statistics.median(own.wall),
            "cpu_best_ms": 1e3 * min(own.processor),
            "rtfx_best": seconds / min(own.wall),
            "ratio_wall_best": min(base.wall) / min(own.wall),
            "ratio_wall_median": statistics.median(base.wall) / statistics.median(own.wall),
            "ratio_cpu_best": min(base.processor) / min(own.processor),
            "ratio_cpu_median": statistics.median(base.processor)
            / statistics.median(own.processor),
        }
        for key, value in table[name].items():
            table[name][key] = round(value, 1 if key.endswith("_ms") else 2)
    return table


def numbers(text: str) -> list[int]:
    """Read a comma-separated list."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--seconds", type=numbers, default=[10, 20, 25])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.export:
        export_upstream(options.export)
        return
    paths = prepare()
    figures: dict[str, object] = {
        "megabytes": {
            name: round(sum(p.stat().st_size for p in path.parent.glob("encoder.*")) / 1e6, 1)
            for name, path in paths.items()
            if name != "upstream"
        }
        | {"upstream": round(UPSTREAM.stat().st_size / 1e6, 1)}
    }
    for threads in options.threads:
        sessions = {name: open_session(path, threads) for name, path in paths.items()}
        for seconds in options.seconds:
            times, outputs = measure(sessions, seconds, options.repeats)
            figures[f"{seconds} s, {threads} threads"] = row(times, seconds)
            figures["errors"] = errors(outputs)
    report.write("encoder", figures)


if __name__ == "__main__":
    main()
