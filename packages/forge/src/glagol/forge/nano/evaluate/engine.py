"""The built artifacts as recognisers: what a user runs, on the clips that judge the torch model."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from glagol.forge.nano.evaluate.evaluation import Recogniser, Wave
from glagol.forge.nano.speech.clips import SAMPLE_RATE
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech import Options, Recognizer

MODELS = {"CTC": "gigaam-nano", "RNN-T": "gigaam-nano-rnnt"}
VARIANTS = {"fp32": "cpu-fp32", "int8": "cpu-int8"}


def engine_recognisers(home: Path, threads: int) -> dict[str, Recogniser]:
    """Return the recognisers "CTC fp32", "CTC int8", "RNN-T fp32", "RNN-T int8".

    Args:
        home: folder of the manifest and the store.
        threads: of each session.

    Raises:
        IntegrityError: the models are not built, or not those of the manifest.
    """
    registry = Registry.load(home)
    return {
        f"{head} {precision}": _recogniser(
            Recognizer.open(
                registry, model=model, variant=variant, runtime=Runtime(threads=threads)
            )
        )
        for head, model in MODELS.items()
        for precision, variant in VARIANTS.items()
    }


def _recogniser(recognizer: Recognizer) -> Recogniser:
    options = Options(word_timestamps=False)

    def recognise(waves: list[Wave]) -> list[str]:
        return [recognizer.transcribe(_file(each), options=options).text for each in waves]

    return recognise


def _file(samples: Wave) -> io.BytesIO:
    """A 16-bit WAV file; the clips are 16-bit, so nothing is lost."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(np.round(samples * 32768).astype("<i2").tobytes())
    file.seek(0)
    return file
