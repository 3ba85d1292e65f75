"""The GPU suite: see README.md beside it. Writes one JSON with every figure.

Usage: suite.py [--out FILE] [--rehearse]
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
sys.path[:0] = [str(path) for path in sorted((ROOT / "packages").glob("*/src"))]

import numpy as np  # noqa: E402
import recordings  # noqa: E402
import v3  # noqa: E402

from glagol.core.errors import GlagolError  # noqa: E402
from glagol.forge.families.gigaam.build import build, build_graph  # noqa: E402
from glagol.forge.families.gigaam.source import open_source  # noqa: E402
from glagol.forge.onnx.graph import Graph  # noqa: E402
from glagol.forge.onnx.protobuf import DataType  # noqa: E402
from glagol.registry.registry import Registry  # noqa: E402
from glagol.registry.store import Blob, Store  # noqa: E402
from glagol.runtime.batching import Batcher  # noqa: E402
from glagol.runtime.cuda import CUDA  # noqa: E402
from glagol.runtime.io_binding import Bound, pinned_memory  # noqa: E402
from glagol.runtime.options import Runtime  # noqa: E402
from glagol.runtime.ort import onnxruntime as ort  # noqa: E402
from glagol.runtime.session import open_session  # noqa: E402
from glagol.speech.pipeline.recognizer import Recognizer  # noqa: E402
from glagol.speech.types import Array  # noqa: E402

NANO = "gigaam-nano-rnnt"
WINDOW_S = 20
GFLOP_PER_S = 11.6
"""Of the v3 encoder for a second of audio."""


@dataclasses.dataclass
class Suite:
    """What the stages share."""

    device: str
    layers: int
    folder: Path
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def variants(self) -> dict[str, str]:
        """Variant to precision: the reference and what is under test."""
        return {"cpu-fp32": "fp32"} | ({"cuda-fp16": "fp16"} if self.device == "cuda" else {})

    @property
    def tested(self) -> str:
        """Variant under test."""
        return list(self.variants)[-1]

    def must(self, holds: object, what: str) -> None:
        """Note a failure and continue."""
        if not holds:
            self.failed.append(what)

    def encoder(self, model: str, device: str, memory_bytes: int = 0) -> ort.InferenceSession:
        """An encoder of the home on a device."""
        variant = self.tested if device == self.device else "cpu-fp32"
        blobs = Registry.load(self.folder).open(model, variant).blobs
        return open_session(
            blobs, "encoder.onnx", device=device, threads=0, memory_bytes=memory_bytes
        )


@contextmanager
def stage(suite: Suite, name: str) -> Iterator[dict[str, Any]]:
    """Figures of one stage; what it raises is a failure of this stage alone."""
    figures: dict[str, Any] = {}
    began = time.perf_counter()
    try:
        yield figures
    except Exception as error:  # noqa: BLE001 - the other stages still have something to say
        suite.failed.append(f"{name}: {type(error).__name__}: {error}")
        sys.stderr.write(f"FAILED {suite.failed[-1]}\n")
    figures["stage_s"] = round(time.perf_counter() - began, 2)
    suite.figures[name] = figures
    sys.stderr.write(f"{name}: {json.dumps(figures)}\n")


def card_bytes() -> int:
    """Memory of the card in use by all processes; 0 without a card."""
    ask = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return int(subprocess.check_output(ask, text=True).split()[0]) << 20
    except (OSError, IndexError, ValueError, subprocess.CalledProcessError):
        return 0


def best_s(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs after a first one that does not count."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def frames_of(seconds: float, seed: int = 0) -> Array:
    """Log-mel-like frames [L, 64]."""
    rng = np.random.default_rng(seed)
    return (rng.random((round(seconds * 100) - 1, 64)) * 12 - 14).astype(np.float32)


def spoken(suite: Suite, seconds: float) -> bytes:
    """A WAV file of speech."""
    return recordings.write(suite.folder / f"{seconds}.wav", seconds).read_bytes()


def prepare(suite: Suite) -> None:
    """A home with both sizes of model in every variant under test, made here from seeds."""
    store = Store(suite.folder / "store")
    manifest = json.loads((ROOT / "manifest.json").read_bytes())
    kept = {v3.ID, NANO, "silero-vad"}
    manifest["models"] = [model for model in manifest["models"] if model["id"] in kept]
    manifest["defaults"] = {"asr": v3.ID, "vad": "silero-vad"}
    folder = ROOT / "models/gigaam-nano"
    names = ("weights.safetensors", "config.json")
    nano = open_source({name: folder / name for name in names})
    for model in manifest["models"]:
        if model["id"] == "silero-vad":
            for artifact in model["variants"][0]["artifacts"]:
                store.add_file(v3.SILERO / artifact["path"], artifact["sha256"])
            continue
        for key in ("unpinned", "golden", "builder"):
            model.pop(key, None)
        model["source"] = {"repo": "made here"}
        model["variants"] = []
        for variant, precision in suite.variants.items():
            if model["id"] == NANO:
                made = build(nano.tensors, nano.config, precision, "rnnt")
            else:
                config = {"encoder": {"d_model": v3.SIZES.width, "n_heads": v3.SIZES.heads}}
                made = build(large(suite), config, precision, "rnnt", tokenizer=v3.pieces())
            artifacts = [
                {"path": path, "sha256": store.add_bytes(data), "size_bytes": len(data)}
                for path, data in sorted(made.items())
            ]
            model["variants"].append(
                {
                    "id": variant,
                    "provider": variant.partition("-")[0],
                    "precision": precision,
                    "artifacts": artifacts,
                }
            )
    (suite.folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False))


def large(suite: Suite) -> dict[str, Array]:
    """Weights of v3's size (fewer layers in a rehearsal), the head set for Russian's token rate."""
    weights = {
        name: value
        for name, value in (v3.encoder_weights() | v3.front_weights()).items()
        if not name.startswith("encoder.layers.") or int(name.split(".")[2]) < suite.layers
    }
    path = suite.folder / "head.npz"
    if not path.exists():
        width = v3.SIZES.width
        bare = {"head.joint.enc.weight": np.eye(width, dtype=np.float32)}
        bare["head.joint.enc.bias"] = np.zeros(width, np.float32)
        sizes = dataclasses.replace(v3.SIZES, layers=suite.layers, joint=width)
        graph, data = build_graph(sizes, weights | bare, "fp32")
        blobs = {n: Blob("", memoryview(d)) for n, d in (("g", graph), ("encoder.data", data))}
        session = open_session(blobs, "g", device="cpu", threads=0)
        front = v3.FrontEnd(weights[v3.WINDOW], weights[v3.MEL])

        def encode(samples: Array) -> Array:
            features = front(samples)[np.newaxis]
            lengths = np.array([features.shape[1]], np.int64)
            found: Array = session.run(None, {"features": features, "lengths": lengths})[0][0]
            return found

        np.savez(path, **v3.head_weights(recordings.speech(20), encode))
    with np.load(path) as stored:
        return weights | {name: stored[name] for name in stored.files}


def parity(suite: Suite, figures: dict[str, Any]) -> None:
    """Numbers at v3's size; texts of the embedded model."""
    features, lengths = frames_of(10)[np.newaxis], np.array([999], np.int64)
    ours, _ = Bound(suite.encoder(v3.ID, suite.device))(features, lengths)
    reference, _ = Bound(suite.encoder(v3.ID, "cpu"))(features, lengths)
    miss = ours.astype(np.float64) - reference
    figures["relative"] = float(np.sqrt((miss**2).mean() / (reference**2).mean()))
    suite.must(np.isfinite(ours).all() and figures["relative"] < 0.02, "parity at v3's size")
    registry = Registry.load(suite.folder)
    for name, seconds in (("short", 10), ("long", 60)):
        data = spoken(suite, seconds)
        texts = [
            Recognizer.open(registry, model=NANO, runtime=Runtime(device=device))
            .transcribe(io.BytesIO(data))
            .text
            for device in (suite.device, "cpu")
        ]
        figures[f"text_{name}_equal"] = texts[0] == texts[1]
        suite.must(texts[0] == texts[1], f"the embedded model's text of {name} audio")


def promises(suite: Suite, figures: dict[str, Any]) -> None:
    """Bit for bit: ten runs; alone, and beside others on eight threads."""
    batcher = Batcher.on_card(suite.encoder(v3.ID, suite.device))
    clips = [frames_of(seconds, seed) for seed, seconds in enumerate((1, 3, 3.1, 7, 7, 19, 20))]
    alone = [batcher(clip).tobytes() for clip in clips]
    again = {batcher(clips[3]).tobytes() for _ in range(10)}
    with ThreadPoolExecutor(8) as threads:
        beside = [found.tobytes() for found in threads.map(batcher, clips * 4)]
    figures["ten_runs"] = again == {alone[3]}
    figures["beside_others"] = beside == alone * 4
    suite.must(figures["ten_runs"], "ten runs differ")
    suite.must(figures["beside_others"], "a result depends on the rest of the batch")


def shapes(suite: Suite, figures: dict[str, Any]) -> None:
    """Memory of the card while lengths vary."""
    batcher = Batcher.on_card(suite.encoder(v3.ID, suite.device))
    rng = np.random.default_rng(1)
    used = []
    for turn in range(200 if suite.device == "cuda" else 8):
        batcher(frames_of(rng.uniform(0.5, 25)))
        if turn % 50 == 7:
            used.append(card_bytes())
    figures["card_mib"] = [value >> 20 for value in used]
    suite.must(used[-1] - used[0] <= 512 << 20, "memory grows with the variety of lengths")


def memory(suite: Suite, figures: dict[str, Any]) -> None:
    """An arena that holds the weights and little more."""
    if suite.device != "cuda":
        return
    weights = sum(
        len(b.data) for b in Registry.load(suite.folder).open(v3.ID, suite.tested).blobs.values()
    )
    for spare_mib in (1024, 256, 64):
        limit = weights + (spare_mib << 20)
        try:
            batcher = Batcher.on_card(suite.encoder(v3.ID, "cuda", limit), windows=32)
            batcher(frames_of(25))
            outcome = f"{batcher.windows} windows"
        except GlagolError as error:
            outcome = error.code
            suite.must(outcome in ("vram_too_small", "provider_missing"), f"memory: {error}")
        figures[f"{spare_mib} MiB"] = outcome


def matrix(suite: Suite, figures: dict[str, Any]) -> None:
    """The card's rate at a product of two large fp16 matrices."""
    size = 8192 if suite.device == "cuda" else 256
    graph = Graph("matrix", "data")
    graph.input("x", DataType.FLOAT16, [size, size])
    graph.weight("w", np.float16, (size, size), lambda: np.ones((size, size), np.float16))
    left = "x"
    for turn in range(8):
        left = graph.op("MatMul", [left, "w"], f"product{turn}")
    graph.op("ReduceMax", [left], "y", keepdims=0)
    graph.output("y", DataType.FLOAT16, [])
    model, data = graph.finish("1", {})
    blobs = {n: Blob("", memoryview(d)) for n, d in (("g", model), ("data", data))}
    session = open_session(blobs, "g", device=suite.device, threads=0)
    x = np.full((size, size), 1e-4, np.float16)
    place = ort.OrtValue.ortvalue_from_numpy(x, suite.device, 0)
    seconds = best_s(lambda: session.run_with_ort_values(None, {"x": place}))
    figures["tflop_per_s"] = round(8 * 2 * size**3 / seconds / 1e12, 1)


def encoder(suite: Suite, figures: dict[str, Any]) -> None:
    """Windows of 20 s, more and more at a time."""
    session = suite.encoder(v3.ID, suite.device)
    bound = Bound(session, pinned_memory(CUDA))
    rate = suite.figures.get("matrix", {}).get("tflop_per_s")
    for count in (1, 2, 4, 8, 16, 32, 64) if suite.device == "cuda" else (1, 2):
        frames = frames_of(WINDOW_S)
        batch = bound.room((count, *frames.shape))
        batch[...] = frames
        lengths = np.full(count, batch.shape[1], np.int64)
        seconds = best_s(partial(bound, batch, lengths), 3)
        audio = count * WINDOW_S
        row = {"ms": round(1e3 * seconds, 2), "rtfx": round(audio / seconds)}
        if rate and suite.device == "cuda":
            row["share_of_matrix_rate"] = round(audio * GFLOP_PER_S / seconds / 1e3 / rate, 3)
        figures[f"{count} windows"] = row


def whole(suite: Suite, figures: dict[str, Any]) -> None:
    """Files of a minute through everything, several at a time."""
    registry = Registry.load(suite.folder)
    audio = spoken(suite, 60)
    recognizer = Recognizer.open(registry, model=v3.ID, runtime=Runtime(device=suite.device))
    seconds_each = recognizer.transcribe(io.BytesIO(audio)).duration_s
    for at_once in (1, 8, 32) if suite.device == "cuda" else (1, 2):
        count = 2 * at_once
        with ThreadPoolExecutor(at_once) as threads:
            began = time.perf_counter()
            found = set(
                threads.map(lambda _: recognizer.transcribe(io.BytesIO(audio)).text, range(count))
            )
            seconds = time.perf_counter() - began
        figures[f"{at_once} files"] = {"rtfx": round(count * seconds_each / seconds)}
        suite.must(len(found) == 1, "one recording, several texts")


def opening(suite: Suite, figures: dict[str, Any]) -> None:
    """Seconds and bytes; that it opens at all says that nothing but shapes is on the CPU."""
    before, began = card_bytes(), time.perf_counter()
    session = suite.encoder(v3.ID, suite.device)
    figures["open_s"] = round(time.perf_counter() - began, 2)
    Bound(session)(frames_of(20)[np.newaxis], np.array([1999], np.int64))
    figures["card_mib"] = (card_bytes() - before) >> 20


STAGES = {
    "open": opening,
    "parity": parity,
    "promises": promises,
    "shapes": shapes,
    "memory": memory,
    "matrix": matrix,
    "encoder": encoder,
    "whole": whole,
}


def main() -> int:
    """Run every stage, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("result.json"))
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with two layers")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite("cpu", 2, Path(folder)) if given.rehearse else Suite("cuda", 16, Path(folder))
        try:
            smi = subprocess.check_output(["nvidia-smi", "-L"], text=True)
        except (OSError, subprocess.CalledProcessError):
            smi = ""
        suite.figures["machine"] = {
            "card": smi.strip(),
            "python": platform.python_version(),
            "onnxruntime": ort.__version__,
            "providers": ort.get_available_providers(),
        }
        with stage(suite, "prepare"):
            prepare(suite)
        for name, work in STAGES.items():
            with stage(suite, name) as figures:
                work(suite, figures)
    suite.figures["failed"] = suite.failed
    given.out.write_text(json.dumps(suite.figures, indent=2, ensure_ascii=False) + "\n")
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
