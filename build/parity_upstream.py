"""The work of build/parity-upstream: what upstream's code gives, ours must give.

1. Front end: log-mel of speech, ours against upstream's `FeatureExtractor`.
2. Encoder at the published size (16 layers of 768), 20 s: relative error of its output, largest and
   RMS, in fp32; int8's is printed, not judged.
3. Four heads over fewer layers of the published width: tokens and their frames of many utterances
   of random length. Upstream reads them in batches with padding, ours each alone, so a leak of the
   padding would show. Biases are set so that about one frame in four speaks.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from forge import published, seeded  # noqa: E402
from forge.golden import upstream  # noqa: E402
from forge.published import Kind  # noqa: E402
from glagol.forge.families.gigaam.build import DATA, build_graph  # noqa: E402
from glagol.forge.families.gigaam.head import head_tensors  # noqa: E402
from glagol.forge.families.gigaam.mel import mel_matrix  # noqa: E402
from glagol.forge.families.gigaam.rope import hann_window  # noqa: E402
from glagol.registry.store import Blob  # noqa: E402
from glagol.runtime.kernels.amx import library  # noqa: E402
from glagol.runtime.session import open_session  # noqa: E402
from glagol.speech.engines.gigaam import ctc  # noqa: E402
from glagol.speech.engines.gigaam.features import FrontEnd  # noqa: E402
from glagol.speech.engines.gigaam.rnnt import Transducer  # noqa: E402

ENCODER_BOUND = 1e-5
FEATURE_BOUND = 2e-3
SPEAKING = 0.25
"""Share of frames that speak under the chosen bias, for CTC; RNN-T gets about as many tokens."""

PREDICTOR, MAX_SYMBOLS, BATCH = 320, 10, 40
Tokens = list[tuple[int, int]]
Weights = dict[str, np.ndarray]


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def speech(seconds: float) -> np.ndarray:
    """The embedded model's golden clip again and again, float32 [N]."""
    from glagol.speech.audio.decode import decode

    with next((ROOT / "models/gigaam-nano/golden").glob("clip.*")).open("rb") as file:
        clip = np.concatenate(list(decode(file, max_seconds=60.0)))
    return np.resize(clip, round(seconds * 16_000))


def mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel [L, 64] by our front end."""
    return FrontEnd(hann_window(320), mel_matrix(161, 64, 16_000))(samples)


def session(sizes: Any, weights: Weights, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """Our graph, opened as it is served, as a function of one clip's features [L, 64]."""
    graph, data = build_graph(sizes, weights, precision)  # type: ignore[arg-type]
    blobs = {"graph": Blob("", memoryview(graph)), DATA: Blob("", memoryview(data))}
    opened = open_session(blobs, "graph", device="cpu", threads=0, library=library())

    def run(features: np.ndarray) -> np.ndarray:
        inputs = {"features": features[None], "lengths": np.array([len(features)])}
        found: np.ndarray = opened.run(None, inputs)[0][0]
        return found

    return run


def front_end(modules: dict[str, Any]) -> bool:
    """Compare log-mel features."""
    samples = speech(20)
    extractor = modules["preprocess"].FeatureExtractor(
        16000, 64, hop_length=160, win_length=320, n_fft=320, center=False
    )
    with torch.inference_mode():
        theirs = extractor(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))[0][0]
    worst = float(np.abs(theirs.T.numpy() - mel(samples)).max())
    say(f"front end, 20 s: largest difference of log-mel {worst:.1e} (bound {FEATURE_BOUND:.0e})")
    return worst <= FEATURE_BOUND


def encoder(modules: dict[str, Any]) -> bool:
    """Compare the output of the encoder at the published size."""
    sizes = seeded.architecture(
        width=768, layers=16, heads=16, hidden=3072, head="rnnt", classes=34, joint=768
    )
    weights = spread(seeded.weights(sizes, 1))
    weights["head.joint.enc.weight"] = np.eye(768, dtype=np.float32)  # shows the encoder itself
    weights["head.joint.enc.bias"][:] = 0
    features = mel(speech(20))
    with torch.inference_mode():
        module = upstream.encoder(modules, sizes, weights)
        turned, length = torch.from_numpy(features.T)[None], torch.tensor([len(features)])
        theirs = module(turned, length)[0][0].T.numpy().astype(np.float64)
    del module
    worst = 0.0
    for precision in ("fp32", "int8"):
        ours = session(sizes, weights, precision)(features)
        miss = np.abs(ours - theirs)
        largest = miss.max() / np.abs(theirs).max()
        mean = np.sqrt(np.mean(miss**2) / np.mean(theirs**2))
        say(f"encoder 16 x 768, 20 s, {precision}: relative RMS {mean:.1e}, largest {largest:.1e}")
        worst = max(worst, mean, largest) if precision == "fp32" else worst
    say(f"bound for fp32: {ENCODER_BOUND:.0e}")
    return worst <= ENCODER_BOUND


def spread(weights: Weights) -> Weights:
    """Seeded weights at torch's default spread, so that frames keep differing layer by layer."""
    gain = np.float32(3**-0.5)
    return {name: v * gain if v.ndim > 1 else v for name, v in weights.items()}


@dataclass
class Head:
    """One head on both sides: ours of one clip, upstream's of a batch."""

    ours: Callable[[np.ndarray], Tokens]
    theirs: Callable[[list[np.ndarray]], list[Tokens]]


def heads(modules: dict[str, Any], kind: Kind, layers: int) -> Head:
    """Both sides of a head with the same weights; its biases are set on speech."""
    sizes = seeded.architecture(
        width=768, layers=layers, heads=16, hidden=3072, head=kind.head, classes=kind.classes,
        joint=320 if kind.head == "rnnt" else 0,
    )  # fmt: skip
    source = np.random.RandomState(7)
    shapes = published.shapes(sizes, PREDICTOR)
    weights = spread(dict(published.tensors(shapes, 7)))
    weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    module = upstream.encoder(modules, sizes, weights)

    def encode(clips: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([len(clip) for clip in clips])
        padded = np.full((len(clips), 64, int(lengths.max())), -20.7, np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[:, : len(clip)] = clip.T
        found: tuple[torch.Tensor, torch.Tensor] = module(torch.from_numpy(padded), lengths)
        return found

    with torch.inference_mode():
        encoded = encode([mel(speech(20))])[0][0].T.numpy()
    settle(sizes, weights, encoded, source)
    decoding = importlib.import_module("gigaam.decoding")
    names = [str(number) for number in range(kind.classes - 1)]
    if kind.head == "ctc":
        head = modules["decoder"].CTCHead(sizes.width, kind.classes)
        decoder = decoding.CTCGreedyDecoding(names)
    else:
        head = modules["decoder"].RNNTHead(
            {"pred_hidden": PREDICTOR, "pred_rnn_layers": 1, "num_classes": kind.classes},
            {"enc_hidden": 768, "pred_hidden": PREDICTOR, "joint_hidden": 320,
             "num_classes": kind.classes},
        )  # fmt: skip
        decoder = decoding.RNNTGreedyDecoding(names, max_symbols_per_step=MAX_SYMBOLS)
    head.load_state_dict(upstream.state(weights, "head."), strict=True)
    head.eval()

    def theirs(clips: list[np.ndarray]) -> list[Tokens]:
        with torch.inference_mode():
            answers = decoder.decode(head, *encode(clips))
        return [list(zip(ids, frames, strict=True)) for _, ids, frames in answers]

    graph = session(sizes, weights, "fp32")
    if kind.head == "ctc":
        greedy: Callable[[np.ndarray], Any] = lambda out: ctc.greedy(out, sizes.blank)  # noqa: E731
    else:
        greedy = Transducer(head_tensors(sizes, weights), sizes.blank, MAX_SYMBOLS).greedy
    return Head(lambda clip: [(e.label, e.frame) for e in greedy(graph(clip))], theirs)


def settle(sizes: Any, weights: Weights, encoded: np.ndarray, source: Any) -> None:
    """Set the head's weights by the encoded frames [T, D], so that some are not blank."""
    first = "head.decoder_layers.0" if sizes.head == "ctc" else "head.joint.enc"
    weight = source.standard_normal(weights[f"{first}.weight"].shape).astype(np.float32)
    flat = weight.reshape(len(weight), -1)
    sides = encoded @ flat.T
    scale = np.float32(1 / sides.std(axis=0).mean())
    weights[f"{first}.weight"], weights[f"{first}.bias"] = weight * scale, -sides.mean(0) * scale
    sides = sides * scale + weights[f"{first}.bias"]
    if sizes.head == "ctc":
        lead = sides[:, :-1].max(axis=1) - sides[:, -1]
        weights[f"{first}.bias"][-1] += np.quantile(lead, 1 - SPEAKING)
        return
    wanted, low, high = SPEAKING * len(sides), 0.0, 100.0
    bias = weights["head.joint.joint_net.1.bias"]
    for _ in range(20):
        bias[-1] = (low + high) / 2
        made = Transducer(head_tensors(sizes, weights), sizes.blank, MAX_SYMBOLS).greedy(sides)
        low, high = ((low + high) / 2, high) if len(made) > wanted else (low, (low + high) / 2)


def utterances(count: int) -> Iterator[np.ndarray]:
    """Pieces of speech of 0.1 to 3 s at random places, in noise of random strength: log-mel."""
    source = np.random.default_rng(11)
    base = speech(60)
    for _ in range(count):
        size = round(16_000 * source.uniform(0.1, 3.0))
        start = source.integers(len(base) - size)
        noise = source.standard_normal(size, np.float32) * np.float32(10 ** source.uniform(-4, -1))
        yield mel(base[start : start + size] * np.float32(source.uniform(0.1, 1)) + noise)


def tokens(modules: dict[str, Any], kind: Kind, count: int, layers: int) -> bool:
    """Compare the tokens of many utterances."""
    began = time.perf_counter()
    head = heads(modules, kind, layers)
    stream, different, total, frames = utterances(count), 0, 0, 0
    while clips := list(itertools.islice(stream, BATCH)):
        for clip, theirs in zip(clips, head.theirs(clips), strict=True):
            different += head.ours(clip) != theirs
            total += len(theirs)
            frames += (len(clip) - 1) // 4 + 1
    say(f"{kind.name}, {layers} layers: {count} utterances, {frames} frames, {total} tokens, "
        f"{different} utterances differ ({time.perf_counter() - began:.0f} s)")  # fmt: skip
    return different == 0 and total > 0


def main() -> int:
    """Everything; 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--utterances", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)  # its barriers are slow when others use the machine, and it repeats
    modules = upstream.load(options.checkout)
    fine = [front_end(modules), encoder(modules)]
    for kind in published.MODELS:
        fine.append(tokens(modules, kind, options.utterances, options.layers))
    say("same as upstream" if all(fine) else "FAILED: differs from upstream")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
