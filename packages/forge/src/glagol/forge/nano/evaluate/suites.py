"""The test cases of the model card: voices, kinds of text, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt

from glagol.forge.nano.seeds import array_stream
from glagol.forge.nano.speech.clips import SAMPLE_RATE, Clip, read_shard
from glagol.forge.nano.text import pools

VOICES, KINDS, NOISE = "voices", "kind of text", "noise"
_NOISY_CLIPS = 300
Wave = NDArray[np.float32]
Distortion = Callable[[Wave, int], Wave]


@dataclass(frozen=True)
class Case:
    """One row of the tables: its group, its name and the clips it is scored on."""

    group: str
    name: str
    clips: tuple[Clip, ...]

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return sum(clip.samples for clip in self.clips) / SAMPLE_RATE / 3600


def white_noise(decibels: float) -> Distortion:
    """Return a distortion: white noise so many dB under the clip's level, seeded by its number."""

    def distort(wave: Wave, number: int) -> Wave:
        level = np.sqrt(np.mean(np.square(wave))) * 10 ** (-decibels / 20)
        noise = array_stream(0, "test noise", number).standard_normal(len(wave))
        noisy: Wave = (wave + noise * level).astype(np.float32)
        return noisy

    return distort


def telephone(wave: Wave, number: int) -> Wave:
    """Pass 300 to 3400 Hz of a wave [n] through 8 kHz sampling and back."""
    del number
    narrow = resample_poly(wave, 1, 2)
    band = butter(4, (300, 3400), btype="bandpass", fs=SAMPLE_RATE // 2, output="sos")
    filtered = sosfiltfilt(band, narrow)
    wide: Wave = resample_poly(filtered, 2, 1)[: len(wave)].astype(np.float32)
    return wide


def distorted(clips: list[Clip], distortion: Distortion) -> tuple[Clip, ...]:
    """Return copies of clips as 16-bit samples after a distortion, clipped at full scale."""
    made = []
    for number, clip in enumerate(clips):
        wave = np.clip(distortion(clip.waveform, number), -1, 1)
        made.append(replace(clip, pcm=np.round(wave * 32767).astype(np.int16)))
    return tuple(made)


def cases(folder: Path) -> list[Case]:
    """Return all cases over the test shards in a folder.

    Raises OSError when the shards are not there: ``synth`` or ``eval`` makes them.
    """
    names = ("seen", "unseen", "default", "festival", "number", "meeting", "words")
    sets = {name: read_shard(folder / f"test-{name}") for name in names}
    seen, unseen = sets["seen"], sets["unseen"]

    def of_pool(pool: str) -> tuple[Clip, ...]:
        return tuple(clip for clip in seen if clip.pool == pool)

    quiet_seen, quiet_unseen = seen[:_NOISY_CLIPS], unseen[:_NOISY_CLIPS]
    ten = white_noise(10)
    return [
        Case(VOICES, "seen voices", tuple(seen)),
        Case(VOICES, "ten unseen voices", tuple(unseen)),
        Case(VOICES, "default voice", tuple(sets["default"])),
        Case(VOICES, "festival", tuple(sets["festival"])),
        Case(KINDS, "numbers", tuple(sets["number"])),
        Case(KINDS, "templates", of_pool(pools.TEMPLATE)),
        Case(KINDS, "documentation", of_pool(pools.DOCUMENTATION)),
        Case(KINDS, "aphorisms", of_pool(pools.APHORISM)),
        Case(KINDS, "meetings", tuple(sets["meeting"])),
        Case(KINDS, "dictionary words", tuple(sets["words"])),
        Case(NOISE, "seen, 10 dB", distorted(quiet_seen, ten)),
        Case(NOISE, "unseen, 10 dB", distorted(quiet_unseen, ten)),
        Case(NOISE, "seen, 0 dB", distorted(quiet_seen, white_noise(0))),
        Case(NOISE, "seen, telephone band", distorted(quiet_seen, telephone)),
    ]
