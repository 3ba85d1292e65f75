"""Log-mel features: ours beside upstream's torch featurizer and onnx-asr's preprocessor.

Usage: GIGAAM_SRC=DIR benchmarks/run frontend -- [--seconds N] [--repeats N]

One thread each, the same samples, taking turns. Upstream's `FeatureExtractor` runs from a checkout
over a stand-in for torchaudio's transform (`tests/forge/golden/upstream.py`): without a checkout
that column is left out. Differences are the largest of log-mel values, over speech alone and over
everything: at the floor of 1e-9 rounding decides.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import recordings
import report
import turns
import v3

from glagol.forge.families.gigaam.weights import MEL, WINDOW
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.types import Array

QUIET = -15.0
"""Log-mel below this is next to digital silence."""


def theirs(samples: Array) -> Callable[[], Array]:
    """onnx-asr's, as it chooses on a CPU (numpy)."""
    from onnx_asr.preprocessors.numpy_preprocessor import GigaamPreprocessorNumpy

    front, length = GigaamPreprocessorNumpy("gigaam_v3"), np.array([len(samples)])
    return lambda: front(samples[np.newaxis], length)[0][0].T


def upstreams(samples: Array, checkout: Path) -> Callable[[], Array]:
    """Upstream's, with the window and the matrix that a v3 checkpoint holds."""
    import torch

    from forge.golden import upstream

    torch.set_num_threads(1)
    extractor = upstream.load(checkout)["preprocess"].FeatureExtractor(
        16000, 64, hop_length=160, win_length=320, n_fft=320, center=False
    )
    held = {n.removeprefix("preprocessor."): v for n, v in v3.front_weights().items()}
    extractor.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()})
    wave, length = torch.from_numpy(samples)[None], torch.tensor([len(samples)])

    def work() -> Array:
        with torch.inference_mode():
            found: Array = extractor(wave, length)[0][0].T.numpy()
        return found

    return work


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    samples = recordings.speech(options.seconds)
    held = v3.front_weights()
    front = FrontEnd(held[WINDOW], held[MEL])
    works: dict[str, Callable[[], Array]] = {
        "glagol": lambda: front(samples),
        "onnx-asr numpy": theirs(samples),
    }
    if os.environ.get("GIGAAM_SRC"):
        works["upstream torch"] = upstreams(samples, Path(os.environ["GIGAAM_SRC"]))
    times = turns.take_turns(works, options.repeats)
    rows = turns.table(times, options.seconds, "onnx-asr numpy")
    own = works["glagol"]()
    loud = own > QUIET
    for name, work in works.items():
        other = work()
        assert other.shape == own.shape, name
        rows[name]["largest_difference_in_sound"] = float(np.abs(other - own)[loud].max())
        rows[name]["largest_difference"] = float(np.abs(other - own).max())
    report.write("frontend", {"seconds": options.seconds, **rows})


if __name__ == "__main__":
    main()
