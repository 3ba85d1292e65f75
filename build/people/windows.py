"""What our engine alone makes of the prompts, each as one window, without voice detection.

Keeps the samples that it was given, so that faster-whisper (`rival.py`) reads the very same ones.
Arguments: FOLDER OUT SAMPLES MODEL VARIANT WINDOW BEAM STEP.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import prompts

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import Request
from glagol.speech.engines.families import load
from glagol.speech.types import SAMPLE_RATE


def main(
    folder: str, out: str, samples: str, model: str, variant: str, window: str, beam: str, step: str
) -> None:
    """Transcribe the prompts one by one, one thread, the language given."""
    home = Path(os.environ.get("GLAGOL_HOME", Path(__file__).resolve().parents[2]))
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(home, Path(store) if store else None)
    engine = load(registry.open(registry.model(model).id, variant), Runtime(threads=1))
    rule: Any = window
    rows = []
    for prompt in prompts.prompts(Path(folder), int(step)):
        with Path(prompt.file).open("rb") as file:
            audio = np.concatenate(list(decode(file, max_seconds=60.0)))
        np.save(Path(samples) / prompts.kept_name(prompt), audio)
        began = time.process_time()
        asked = Request(language=prompt.language, beam=int(beam), window=rule)
        found = engine.begin(asked).transcribe(audio)
        rows.append(
            prompts.Understood(
                prompt.language,
                prompt.name,
                found.text,
                time.process_time() - began,
                len(audio) / SAMPLE_RATE,
                found.search.temperature if found.search else 0.0,
            )
        )
    prompts.write(Path(out), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
