"""Sixty minutes of audio through ``glagol transcribe``: peak memory and speed.

The bar: RSS <= 600 MB with the embedded model. The recording is the bundled clip again and again
with pauses between, so the transcript is known too: every copy must say what the clip says alone.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import report

from glagol.speech.audio.decode import decode

ROOT = Path(__file__).resolve().parent.parent
CLIP = next((ROOT / "models/gigaam-nano/golden").glob("clip.*"))
MINUTES = 60
RATE = 16_000


def recording(path: Path) -> int:
    """Write the long recording; return how many copies of the clip it holds."""
    clip = np.concatenate(list(decode(io.BytesIO(CLIP.read_bytes()), max_seconds=60.0)))
    pcm = (clip * 32767).astype("<i2").tobytes()
    pause = bytes(2 * RATE * 2)
    copies = MINUTES * 60 * RATE // (len(clip) + 2 * RATE)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(copies):
            out.writeframesraw(pcm)
            out.writeframesraw(pause)
    return copies


def command(path: Path) -> list[str]:
    """The command line under test."""
    return [sys.executable, "-m", "glagol.cli", "transcribe", "--format", "json", str(path)]


def main() -> None:
    """Print and store speed, memory and the number of copies that differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        copies = recording(path)
        solo = json.loads(subprocess.run(command(CLIP), check=True, capture_output=True).stdout)
        start = time.perf_counter()
        done = subprocess.run(command(path), check=True, capture_output=True)
        seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    long = json.loads(done.stdout)
    words, expected = long["text"].split(), solo["text"].split() * copies
    report.write(
        "longform",
        {
            "minutes": MINUTES,
            "copies": copies,
            "rtfx": long["duration"] / seconds,
            "peak_rss_mb": peak_mb,
            "words": len(words),
            "words_expected": len(expected),
            "words_at_wrong_place": sum(a != b for a, b in zip(words, expected, strict=False)),
        },
    )


if __name__ == "__main__":
    main()
