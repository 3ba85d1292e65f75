"""What the engine does besides words: no text without speech, the language, a quick start.

Arguments: MUSIC SPEECH MODEL VARIANT. MUSIC is a folder of music without a voice, SPEECH one of
clips that `joined.py` made. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import prompts

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.pipeline.recognizer import Recognizer

HOME = Path(os.environ.get("GLAGOL_HOME", Path(__file__).resolve().parents[2]))
RATE = 16_000
SECONDS = 10
RIGHT_MIN = 0.95


def silent(music: Path) -> Iterator[tuple[str, bytes]]:
    """Sounds without speech, ten seconds each, as WAV files."""
    at = np.arange(SECONDS * RATE) / RATE
    noise = np.random.default_rng(1).standard_normal(len(at))
    for name, samples in (
        ("zeros", np.zeros(len(at))),
        ("noise, -20 dB", 0.1 * noise),
        ("noise, -50 dB", 0.003 * noise),
        ("tone of 440 Hz", 0.3 * np.sin(2 * np.pi * 440 * at)),
        ("clicks", (np.arange(len(at)) % 4000 == 0) * 0.8),
    ):
        yield name, written((samples * 32767).clip(-32768, 32767).astype("<i2").tobytes(), RATE)
    for file in sorted(music.glob("*.wav")):
        with wave.open(str(file)) as reader:
            rate = reader.getframerate()
            for minute in range(3):
                reader.setpos(min(minute * 60 * rate, reader.getnframes()))
                data = reader.readframes(SECONDS * rate)
                if data:
                    yield f"{file.stem}, from {minute} min", written(data, rate)


def written(data: bytes, rate: int) -> bytes:
    """A WAV file of 16-bit mono samples."""
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(data)
    return out.getvalue()


def text_of_silence(recognizer: Recognizer, music: Path) -> bool:
    """Print the text for sounds without speech; returns whether there is none."""
    found = {name: recognizer.transcribe(io.BytesIO(data)).text for name, data in silent(music)}
    wrong = {name: text for name, text in found.items() if text}
    sys.stdout.write(f"no text on {len(found) - len(wrong)} of {len(found)} without a voice\n")
    for name, text in wrong.items():
        sys.stdout.write(f"    {name}: {text!r}\n")
    return not wrong


def languages(recognizer: Recognizer, speech: Path) -> bool:
    """Print how often the language is right; whether that is often enough."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for clip in prompts.prompts(speech):
        with Path(clip.file).open("rb") as file:
            found = recognizer.transcribe(file).language
        total[clip.language] += 1
        right[clip.language] += found == clip.language
        if found != clip.language:
            sys.stdout.write(f"    {clip.name} is taken for {found}\n")
    counts = ", ".join(f"{name} {right[name]} of {count}" for name, count in total.items())
    share = right.total() / total.total()
    sys.stdout.write(f"language right on {100 * share:.1f} % of clips: {counts}\n")
    return share >= RIGHT_MIN


def start(model: str, variant: str) -> None:
    """Print what the command needs from its start to its end, for the known-answer clip."""
    clip = HOME / "models/whisper-base/golden/clip.flac"
    command = [sys.executable, "-m", "glagol.cli", "transcribe", str(clip), "--model", model]
    command += ["--variant", variant, "--threads", "1", "--home", str(HOME)]
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((used_s, wall_s))
    used_s, wall_s = min(found)
    sys.stdout.write(
        f"start to the text of 11 s, one thread, best of {len(found)}: {used_s:.2f} processor s,"
        f" {wall_s:.2f} s by the clock; at most {after.ru_maxrss / 1024:.0f} MiB\n"
    )


def main(music: str, speech: str, model: str, variant: str) -> int:
    """Every check in turn; 1 when a bar is missed."""
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(HOME, Path(store) if store else None)
    recognizer = Recognizer.open(registry, model=model, variant=variant, runtime=Runtime(threads=1))
    start(model, variant)
    good = [text_of_silence(recognizer, Path(music)), languages(recognizer, Path(speech))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
