"""What int8 costs: error of every kind of layer, and words lost, for several recipes.

Usage: benchmarks/run quantisation -- [--clips N] [--no-v3]     (./just eval-nano makes the clips)

Layers: inputs of every product are taken from the fp32 graph on real speech, quantised as ONNX
Runtime does (unsigned bytes, one scale per call), multiplied with quantised weights, compared with
the exact product: relative RMS error, mean and worst over the layers of a kind. For gigaam-nano
weights are trained; at v3's size they come from a seed, so outliers of a trained v3 are not seen.

Words: gigaam-nano's artifacts built by each recipe, on the held-out clips of the model card.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recordings
import report
import v3

from glagol.forge.checkpoints.safetensors import Tensors
from glagol.forge.families.gigaam.architecture import Architecture, infer
from glagol.forge.families.gigaam.build import DATA
from glagol.forge.families.gigaam.encoder import Encoder
from glagol.forge.families.gigaam.head import head_tensors
from glagol.forge.families.gigaam.weights import normalise
from glagol.forge.nano.evaluate import score, suites
from glagol.forge.onnx import linear
from glagol.forge.onnx.graph import Graph
from glagol.forge.onnx.linear import FloatLinear, Int8Linear, Linear, Matrix
from glagol.forge.onnx.protobuf import DataType
from glagol.forge.onnx.quantize import Quantised, quantise
from glagol.runtime.ort import onnxruntime as ort
from glagol.speech.engines.gigaam import ctc
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.types import Array

ROOT = Path(__file__).resolve().parent.parent
NANO = ROOT / "models/gigaam-nano"
CLIPS = ROOT / ".work/nano/speech"
KIND = re.compile(r"(feed_forward[12]\.linear[12]|self_attn\.linear_[a-z]+|conv\.pointwise_conv[12]"
                  r"|pre_encode\.conv\.2)")  # fmt: skip
SMOOTHING = 0.5


@dataclass(frozen=True)
class Model:
    """Sizes and weights of one head over one encoder."""

    sizes: Architecture
    weights: Mapping[str, Array]
    pieces: tuple[str, ...]


def nano(head: str) -> Model:
    """The embedded model."""
    source = Tensors((NANO / "weights.safetensors").read_bytes())
    config = json.loads((NANO / "config.json").read_text())
    weights = normalise(source, head)  # type: ignore[arg-type]
    letters = config.get("vocabulary") or config["cfg"]["model"]["cfg"]["decoding"]["vocabulary"]
    return Model(infer(config, weights, head), weights, tuple(letters))  # type: ignore[arg-type]


class Tap:
    """Single precision that shows the input of every product as an output of the graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._float = graph, FloatLinear(graph)
        self.inputs: dict[str, str] = {}
        self.matrices: dict[str, tuple[str, Matrix]] = {}

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Take note of the value."""
        self.inputs[name] = x
        return (x,)

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """Take note of the product."""
        self.matrices[matrix.name] = (fed[0], matrix)
        return self._float.apply(fed, matrix)


def tapped(model: Model, features: Array) -> Iterable[tuple[str, Array, Array]]:
    """Name, input [n, K] and weight [K, N] of every product, on one recording."""
    graph = Graph("encoder", DATA)
    tap = Tap(graph)
    Encoder(graph, model.sizes, model.weights, tap).author()
    values = sorted({value for value, _ in tap.matrices.values()} - {"features"})
    for value in values:
        graph.output(value, DataType.FLOAT, ["B", f"n_{value}", f"k_{value}"])
    found = dict(zip(values, run(*graph.finish("tap", {}), features, values), strict=True))
    for name, (value, matrix) in tap.matrices.items():
        if value in found and KIND.search(name):
            yield name, found[value][0], np.ascontiguousarray(matrix.weight())


def opened(graph: bytes, data: bytes) -> ort.InferenceSession:
    """A session over a graph that was just made."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_external_initializers_from_files_in_memory([DATA], [data], [len(data)])
    return ort.InferenceSession(graph, options, ["CPUExecutionProvider"])


def run(graph: bytes, data: bytes, features: Array, names: list[str]) -> list[Array]:
    """Outputs of a graph for one recording [L, 64]."""
    inputs = {"features": features[np.newaxis], "lengths": np.array([len(features)])}
    found: list[Array] = opened(graph, data).run(names, inputs)
    return found


def as_bytes(x: Array) -> Array:
    """What is left of a value after DynamicQuantizeLinear and back."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = np.float32((high - low) / 255) or np.float32(1)
    zero = np.rint(-low / scale)
    found: Array = ((np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale).astype(np.float32)
    return found


def dequantised(made: Quantised) -> Array:
    """The weights that the integers stand for."""
    return made.values.astype(np.float32) * made.scales


def per_tensor(weight: Array) -> Quantised:
    """One scale for the whole matrix."""
    scale = np.full(weight.shape[1], np.abs(weight).max() / 127, np.float32)
    return Quantised(np.rint(weight / scale).astype(np.int8), scale)


def smoothed(x: Array, weight: Array) -> tuple[Array, Array]:
    """SmoothQuant (Xiao et al. 2023, arXiv 2211.10438): part of the input's range moves over."""
    inputs, rows = np.abs(x).max(axis=0), np.abs(weight).max(axis=1)
    factor = inputs**SMOOTHING / np.maximum(rows, 1e-6) ** (1 - SMOOTHING)
    factor = np.where(factor > 0, factor, 1).astype(np.float32)
    return x / factor, weight * factor[:, np.newaxis]


RECIPES: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "shipped: bytes per call, weights per column": lambda x, w: (
        as_bytes(x), dequantised(quantise(w))),
    "weights per tensor": lambda x, w: (as_bytes(x), dequantised(per_tensor(w))),
    "weights alone, per column": lambda x, w: (x, dequantised(quantise(w))),
    "inputs alone": lambda x, w: (as_bytes(x), w),
    "smoothed, else as shipped": lambda x, w: RECIPES[SHIPPED](*smoothed(x, w)),
}  # fmt: skip
SHIPPED = next(iter(RECIPES))


def layer_errors(model: Model, features: Array) -> dict[str, dict[str, dict[str, float]]]:
    """Relative errors by kind of layer and recipe."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, x, weight in tapped(model, features):
        match = KIND.search(name)
        kind = match.group() if match else name
        exact = x @ weight
        size = np.sqrt(np.mean(exact**2))
        for recipe, quantised in RECIPES.items():
            a, b = quantised(x, weight)
            error = np.sqrt(np.mean((a @ b - exact) ** 2))
            found[kind][recipe].append(float(error / size))
    return {
        kind: {
            recipe: {"mean": round(float(np.mean(each)), 5), "worst": round(max(each), 5)}
            for recipe, each in recipes.items()
        }
        for kind, recipes in sorted(found.items())
    }


class Mixed:
    """int8 for products whose name fits, single precision for the others."""

    def __init__(self, graph: Graph, exact: re.Pattern[str]) -> None:
        self._int8, self._float, self._exact = Int8Linear(graph), FloatLinear(graph), exact
        self._fed: dict[tuple[str, str], tuple[str, ...]] = {}

    def feed(self, x: str, name: str) -> tuple[str, ...]:
        """Postponed until the readers of the tensor are known."""
        return (x, name)

    def apply(self, fed: tuple[str, ...], matrix: Matrix) -> str:
        """One of the two."""
        x, name = fed
        if self._exact.search(matrix.name):
            return self._float.apply((x,), matrix)
        if (x, name) not in self._fed:
            self._fed[x, name] = self._int8.feed(x, name)
        return self._int8.apply(self._fed[x, name], matrix)


def built(model: Model, maker: Callable[[Graph], Linear]) -> ort.InferenceSession:
    """The encoder under a recipe."""
    graph = Graph("encoder", DATA)
    Encoder(graph, model.sizes, model.weights, maker(graph)).author()
    return opened(*graph.finish("study", {}))


def kept(pattern: str) -> Callable[[Graph], Linear]:
    """int8 but for products whose names fit the pattern."""
    return lambda graph: Mixed(graph, re.compile(pattern))


NANO_LAYERS = 8
GRAPHS: dict[str, Callable[[Graph], Linear]] = {
    "fp32": FloatLinear,
    "int8 as shipped": Int8Linear,
    "feed-forward out in fp32": kept(r"feed_forward[12]\.linear2"),
    "feed-forward in fp32": kept(r"feed_forward"),
    "attention in fp32": kept(r"self_attn"),
    "convolution in fp32": kept(r"conv\.pointwise"),
    "first layer in fp32": kept(r"layers\.0\."),
    "last layer in fp32": kept(rf"layers\.{NANO_LAYERS - 1}\."),
}


def texts(model: Model, session: ort.InferenceSession, mels: list[Array]) -> list[str]:
    """What a graph with its head writes for each recording."""
    head: Any = None
    if model.sizes.head == "rnnt":
        head = Transducer(head_tensors(model.sizes, model.weights), model.sizes.blank, 10)
    found = []
    for mel in mels:
        inputs = {"features": mel[np.newaxis], "lengths": np.array([len(mel)])}
        out = session.run(None, inputs)[0][0]
        made = head.greedy(out) if head else ctc.greedy(out, model.sizes.blank)
        found.append("".join(model.pieces[each.label] for each in made))
    return found


def words(count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Word errors of every recipe and head over the first clips of two suites."""
    cases = {case.name: case.clips for case in suites.cases(CLIPS)}
    clips = [*cases["default voice"][:count], *cases["ten unseen voices"][:count]]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("ctc", "rnnt"):
        model = nano(name)
        front = head_tensors(model.sizes, model.weights)
        mels = [FrontEnd(front["window"], front["mel"])(clip.waveform) for clip in clips]
        exact: list[str] = []
        for recipe, maker in recipes():
            wrote = texts(model, built(model, maker), mels)
            exact = exact or wrote
            scored = score.score([clip.text for clip in clips], wrote)
            drift = score.score(exact, wrote)
            table.setdefault(recipe, {})[name] = {
                "words": scored.words,
                "word_errors": scored.word_errors,
                "wer_percent": round(scored.wer, 2),
                "words_unlike_fp32": drift.word_errors,
                "clips_unlike_fp32": sum(a != b for a, b in zip(wrote, exact, strict=True)),
            }
            print(name, recipe, table[recipe][name], flush=True)
    return table


def recipes() -> Iterable[tuple[str, Callable[[Graph], Linear]]]:
    """Every graph of the study; one of them has its weights quantised per tensor."""
    yield from GRAPHS.items()
    per_column, linear.quantise = linear.quantise, per_tensor
    try:
        yield "weights per tensor", Int8Linear
    finally:
        linear.quantise = per_column


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=300, help="of each suite")
    parser.add_argument("--no-v3", dest="v3", action="store_false")
    options = parser.parse_args()
    samples = recordings.speech(20)
    figures: dict[str, object] = {}
    model = nano("ctc")
    front = head_tensors(model.sizes, model.weights)
    mel = FrontEnd(front["window"], front["mel"])(samples)
    figures["layers of gigaam-nano"] = layer_errors(model, mel)
    if options.v3:
        large = Model(v3.SIZES, v3.weights(), ())
        figures["layers at v3's size"] = layer_errors(large, mel)
    figures["words, gigaam-nano"] = words(options.clips)
    report.write("quantisation", figures)


if __name__ == "__main__":
    main()
