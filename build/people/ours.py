"""What our engine makes of the prompts.

Arguments: FOLDER OUT MODEL VARIANT WINDOW BEAM STEP.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import prompts

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options, SearchedProvenance


def main(
    folder: str, out: str, model: str, variant: str, window: str, beam: str, step: str
) -> None:
    """Transcribe the prompts one by one, one thread, the language given."""
    home = Path(os.environ.get("GLAGOL_HOME", Path(__file__).resolve().parents[2]))
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(home, Path(store) if store else None)
    recognizer = Recognizer.open(registry, model=model, variant=variant, runtime=Runtime(threads=1))
    rows = []
    for prompt in prompts.prompts(Path(folder), int(step)):
        rule: Any = window
        options = Options(language=prompt.language, beam=int(beam), window=rule)
        began = time.process_time()
        with Path(prompt.file).open("rb") as file:
            found = recognizer.transcribe(file, options=options)
        searched = found.provenance
        rows.append(
            prompts.Understood(
                prompt.language,
                prompt.name,
                found.text,
                time.process_time() - began,
                found.duration_s,
                searched.search.temperature if isinstance(searched, SearchedProvenance) else 0.0,
            )
        )
    prompts.write(Path(out), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
