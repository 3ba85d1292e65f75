"""Speech to measure with: the embedded model's golden clip, with pauses, to any length."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glagol.speech.audio.decode import decode
from glagol.speech.types import SAMPLE_RATE, Array

ROOT = Path(__file__).resolve().parent.parent
CLIP = next((ROOT / "models/gigaam-nano/golden").glob("clip.*"))
PAUSE_S = 0.7


def clip() -> Array:
    """The golden clip, float32 [N]."""
    return np.concatenate(list(decode(io.BytesIO(CLIP.read_bytes()), max_seconds=60.0)))


def endless() -> Iterator[Array]:
    """The clip and a pause, again and again."""
    unit = np.pad(clip(), (0, round(PAUSE_S * SAMPLE_RATE)))
    while True:
        yield unit


def speech(seconds: float) -> Array:
    """That many seconds, float32 [N]."""
    total, found = round(seconds * SAMPLE_RATE), []
    for unit in endless():
        found.append(unit[: total - sum(map(len, found))])
        if sum(map(len, found)) >= total:
            break
    return np.concatenate(found)


def write(path: Path, seconds: float) -> Path:
    """Write that many seconds as a 16-bit WAV file, block by block; return the path."""
    left = round(seconds * SAMPLE_RATE)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for unit in endless():
            out.writeframesraw((unit[:left] * 32767).astype("<i2").tobytes())
            left -= len(unit[:left])
            if not left:
                break
    return path
