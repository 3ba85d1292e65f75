"""The recordings of build/proof-processors: made from the golden clip by whole numbers alone.

A seed is a recipe: a piece of the golden clip, faster or slower, under another piece, under noise,
quieter. Additions, products and divisions of integers, and noise from SHAKE-256: every processor,
and every version of numpy, makes the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "models/gigaam-nano/golden/clip.flac"
RATE = 16_000
PAUSE = RATE // 2
SHORTEST, LONGEST = RATE, RATE * 8 // 5
"""Samples of a clip: an emulator takes about three seconds for each of a recording."""

Samples = npt.NDArray[np.int64]


def golden() -> Samples:
    """The golden clip: 16-bit samples at 16 kHz [n]."""
    with av.open(str(CLIP)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples: Samples = np.concatenate(frames, axis=1)[0].astype(np.int64)
    return samples


def made(speech: Samples, seed: int) -> Samples:
    """The clip of a seed: samples [n] within 16 bits, from the golden clip's."""
    dice = np.frombuffer(hashlib.shake_256(b"clip %d" % seed).digest(64), "<u4").astype(np.int64)
    length = SHORTEST + dice[0] % (LONGEST - SHORTEST)
    clip = _stretched(speech, dice[1], int(length), 85 + dice[2] % 31)
    if dice[3] % 2:
        clip = (
            clip
            + _stretched(speech, dice[4], int(length), 85 + dice[5] % 31)
            * (20 + dice[6] % 60)
            // 100
        )
    noise = hashlib.shake_256(b"noise %d" % seed).digest(2 * len(clip))
    clip = clip + np.frombuffer(noise, "<i2").astype(np.int64) * (dice[7] % 40) // 1000
    changed: Samples = np.clip(clip * (10 + dice[8] % 91) // 100, -32_768, 32_767)
    return changed


def _stretched(speech: Samples, start: np.int64, length: int, percent: np.int64) -> Samples:
    """A piece of `length` samples that is read at `percent` of its speed."""
    places = np.arange(length) * percent
    start = start % (len(speech) - int(places[-1]) // 100 - 2)
    at, between = start + places // 100, places % 100
    changed: Samples = (speech[at] * (100 - between) + speech[at + 1] * between) // 100
    return changed


def wav(samples: Samples) -> bytes:
    """A 16-bit WAV file of samples [n]."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def joined(clips: list[Samples]) -> Samples:
    """All clips in one recording [n], half a second of silence after each."""
    return np.concatenate([part for clip in clips for part in (clip, np.zeros(PAUSE, np.int64))])
