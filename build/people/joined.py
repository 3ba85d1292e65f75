"""Longer recordings: prompts of one person one after the other, with pauses.

Arguments: FOLDER OUT SECONDS COUNT [LANGUAGE...]. Writes COUNT clips of each language, each as long
as SECONDS allows, and `clips.json` with what is said in them. Only the standard library.
"""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Iterator
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import prompts

RATE = 8_000
PAUSE_S = 0.4
PART_MIN_S = 1.0


def sound(file: str) -> bytes:
    """Samples of a prompt, 16 bit, 8 kHz."""
    with wave.open(file) as reader:
        if (reader.getframerate(), reader.getsampwidth(), reader.getnchannels()) != (RATE, 2, 1):
            raise ValueError(file)
        return reader.readframes(reader.getnframes())


def clips(folder: Path, language: str, seconds: float) -> Iterator[tuple[bytes, str]]:
    """Samples and text of clip after clip, for ever; a prompt that does not fit opens the next."""
    pause = bytes(2 * round(PAUSE_S * RATE))
    data, said = b"", []
    for prompt in cycle(prompts.prompts(folder, languages=(language,))):
        more = sound(prompt.file)
        if not PART_MIN_S * RATE * 2 <= len(more) <= seconds * RATE * 2:
            continue
        if data and len(data) + len(pause) + len(more) > seconds * RATE * 2:
            yield data, " ".join(said)
            data, said = b"", []
        data += pause * bool(data) + more
        said.append(prompt.text)


def main(folder: str, out: str, seconds: str, count: str, *languages: str) -> None:
    """Write the clips and their list."""
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    rows = []
    for language in languages or prompts.LANGUAGES:
        made = clips(Path(folder), language, float(seconds))
        for number in range(int(count)):
            data, text = next(made)
            file = place / f"{language}-{number}.wav"
            with wave.open(str(file), "wb") as writer:
                writer.setnchannels(1)
                writer.setsampwidth(2)
                writer.setframerate(RATE)
                writer.writeframes(data)
            rows.append(prompts.Prompt(language, file.stem, str(file), text))
    (place / prompts.CLIPS).write_text(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
