"""The encoder at GigaAM-v3 size: our graphs against upstream's own ONNX export, same weights.

Usage: GIGAAM_SRC=DIR benchmarks/run encoder -- [--threads 1,2] [--seconds 10,20,25] [--repeats N]

Weights are random (speed does not depend on them; the errors do, real activations have outliers).
The sessions take turns. Wall and processor time are both given, best and median: on a busy machine
the ratio of best processor times is the figure to trust. Bars: fp32 1.25, int8 3.9.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import report
import turns
import v3

from forge import seeded
from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.runtime.kernels.choice import library
from glagol.runtime.ort import onnxruntime as ort
from glagol.runtime.session import open_session, uses_kernels

SIZES = v3.SIZES
PLAIN = "{}, ONNX Runtime's operators"
"""Without our library, where that computes something of it."""


def sessions(threads: int) -> dict[str, ort.InferenceSession]:
    """Upstream's graph and ours, opened as each is used."""
    cpu = ["CPUExecutionProvider"]
    path = str(v3.upstream_encoder())
    opened = {"upstream": ort.InferenceSession(path, v3.quiet(threads), cpu)}
    registry = Registry.load(v3.ours(), trust=Trust.receipt)
    for variant, name in v3.VARIANTS.items():
        blobs = registry.open(v3.ID, variant).blobs
        work = partial(open_session, blobs, "encoder.onnx", device="cpu", threads=threads)
        opened[name] = work(library=library())
        if uses_kernels(opened[name]):
            opened[PLAIN.format(name)] = work()
    return opened


def megabytes() -> dict[str, float]:
    """Sizes of graphs with their weights."""
    registry = Registry.load(v3.ours(), trust=Trust.receipt)
    found = {"upstream": v3.upstream_encoder().stat().st_size}
    for variant, name in v3.VARIANTS.items():
        blobs = registry.open(v3.ID, variant).blobs
        found[name] = sum(len(b.data) for path, b in blobs.items() if path.startswith("encoder."))
    return {name: round(size / 1e6, 1) for name, size in found.items()}


def feeds(name: str, seconds: int) -> dict[str, np.ndarray]:
    """Return the inputs of one graph for one clip."""
    frames = seconds * 100 - 1
    features = seeded.features(frames, 1, SIZES.features, 3)
    lengths = np.array([frames], np.int64)
    if name == "upstream":
        turned = np.ascontiguousarray(features.transpose(0, 2, 1))
        return {"audio_signal": turned, "length": lengths}
    return {"features": features, "lengths": lengths}


def first(session: ort.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a run."""
    found: np.ndarray = session.run(None, inputs)[0]
    return found


def errors(outputs: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return relative RMS errors of our joint inputs, whole and without the mean over time."""
    weights = v3.weights()
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


def numbers(text: str) -> list[int]:
    """Read a comma-separated list."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--seconds", type=numbers, default=[10, 20, 25])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, object] = {"megabytes": megabytes()}
    for threads in options.threads:
        opened = sessions(threads)
        for seconds in options.seconds:
            inputs = {name: feeds(name, seconds) for name in opened}
            works = {name: partial(first, each, inputs[name]) for name, each in opened.items()}
            times = turns.take_turns(works, options.repeats)
            figures[f"{seconds} s, {threads} threads"] = turns.table(times, seconds, "upstream")
            figures["errors"] = errors({name: work() for name, work in works.items()})
    report.write("encoder", figures)


if __name__ == "__main__":
    main()
