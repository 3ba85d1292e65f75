"""What faster-whisper makes of the prompts.

Arguments: FOLDER OUT MODEL PRECISION BEAM STEP [SAMPLES]. SAMPLES is where `windows.py` kept what
it read; without it faster-whisper decodes the files itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import prompts
from faster_whisper import WhisperModel, decode_audio


def main(
    folder: str, out: str, model: str, precision: str, beam: str, step: str, samples: str = ""
) -> None:
    """Transcribe the prompts one by one, one thread, the language given, no history."""
    kind = {"fp32": "float32"}.get(precision, precision)
    engine = WhisperModel(model, device="cpu", compute_type=kind, cpu_threads=1)
    rows = []
    for prompt in prompts.prompts(Path(folder), int(step)):
        began = time.process_time()
        audio = kept(Path(samples), prompt) if samples else decode_audio(prompt.file)
        segments, _ = engine.transcribe(
            audio,
            language=prompt.language,
            beam_size=int(beam),
            condition_on_previous_text=False,
        )
        found = list(segments)
        rows.append(
            prompts.Understood(
                prompt.language,
                prompt.name,
                "".join(segment.text for segment in found).strip(),
                time.process_time() - began,
                len(audio) / 16_000,
                max((segment.temperature for segment in found), default=0.0),
            )
        )
    prompts.write(Path(out), rows)


def kept(folder: Path, prompt: prompts.Prompt) -> Any:
    """The samples of a prompt that `windows.py` kept, float32 [N]."""
    return np.load(folder / prompts.kept_name(prompt))


if __name__ == "__main__":
    main(*sys.argv[1:])
