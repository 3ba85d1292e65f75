"""Measure the onsets of the prompts' tokens in our engine, for `aligned.py` to compare.

Arguments: FOLDER OUT MODEL VARIANT STEP. OUT gets `onsets.json` and what the encoder read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import prompts

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import Request
from glagol.speech.engines.whisper.attempts import padded
from glagol.speech.engines.whisper.engine import Whisper, WindowDecoding
from glagol.speech.engines.whisper.graphs import FRAMES_MAX


class Recorded(WindowDecoding):
    """A decoding that keeps what it aligned."""

    def _onsets(self, attempt: Any, tokens: Any, language: Any, frames: Any, stop: Any) -> Any:
        found = super()._onsets(attempt, tokens, language, frames, stop)
        ids, pieces = self.engine.ids, self.engine.vocabulary.pieces
        kept.append(
            {
                "start": [int(token) for token in ids.start(language, "transcribe")],
                "tokens": [int(token) for token in tokens],
                "onsets": found,
                "frames": int(frames),
                "words": [pieces[token].startswith(b" ") for token in tokens],
            }
        )
        return found


kept: list[dict[str, Any]] = []


def main(folder: str, out: str, model: str, variant: str, step: str) -> None:
    """Transcribe the prompts, full windows, and keep the onsets of those read in one go."""
    home = Path(os.environ.get("GLAGOL_HOME", Path(__file__).resolve().parents[2]))
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(home, Path(store) if store else None)
    engine = Whisper(registry.open(model, variant), Runtime(threads=1))
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, prompt in enumerate(prompts.prompts(Path(folder), int(step))):
        with Path(prompt.file).open("rb") as file:
            audio = np.concatenate(list(decode(file, max_seconds=60.0)))
        kept.clear()
        asked = Request(language=prompt.language, window="full", beam=1)
        Recorded(engine, asked, prompt.language).transcribe(audio)
        if len(kept) == 1:
            np.save(place / f"{number}.npy", padded(engine.front_end(audio), FRAMES_MAX)[None])
            rows.append({"mel": f"{number}.npy", "name": prompt.name, **kept[0]})
    (place / "onsets.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
