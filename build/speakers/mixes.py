"""Conversations of people with exact answers, mixed from Debian's prompts of Asterisk.

    mixes.py SOUNDS FOLDER [SET...]     writes NAME.wav (8 kHz) and NAME.rttm for each mix

Each voice is one person; the en_US and es_MX prompts are the same woman, so es_MX is left out. A
set says how many mixes of how many voices there are, and what lies between two turns. `dev` was for
choosing parameters, `gaps` and `tight` are the sets that are reported; their prompts differ. The
same sounds give the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import random
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

RATE = 8000
TURNS = 24
VOICES = {
    "allison": "en_US_f_Allison/*.wav",
    "june": "fr_CA_f_June/*.wav",
    "carlo": "it_IT_m_Carlo/*.wav",
    "ivrvoice": "ru_RU_f_IvrvoiceRU/*.wav",
    "menardi": "it_IT_f_Menardi/*.wav",
    "colombia": "es/*.gsm",
    "armelle": "fr/*.gsm",
}
NO_SPEECH = ("beep", "tt-", "silence", "ascending", "descending", "tone", "dial")
SHORTEST_S, LONGEST_S = 1.0, 8.0
FRAME = RATE // 50
QUIET_DB = -38.0
PAUSE_S = 0.5
"""Silence inside a prompt from which on the answer has no speaker."""


@dataclass(frozen=True)
class Set:
    """What the mixes of one name are.

    Attributes:
        seeds: one for each mix of each number of voices.
        voices: numbers of voices.
        gap_s: least and most seconds between turns.
        overlap: share of turns that begin before the one before has ended.
        odd: which half of the prompts is used.
    """

    seeds: range
    voices: tuple[int, ...]
    gap_s: tuple[float, float]
    overlap: float
    odd: bool


SETS = {
    "dev-gaps": Set(range(101, 104), (1, 2, 3, 4, 5), (0.2, 1.5), 0.0, odd=False),
    "dev-tight": Set(range(101, 104), (2, 3, 4, 5), (0.0, 0.0), 0.7, odd=False),
    "gaps": Set(range(1, 6), (2, 3, 4, 5), (0.2, 1.5), 0.0, odd=True),
    "tight": Set(range(1, 6), (2, 3, 4, 5), (0.0, 0.0), 0.7, odd=True),
}


@functools.cache
def prompts(sounds: Path, voice: str, *, odd: bool) -> tuple[Path, ...]:
    """The prompts of a voice that are speech of a usable length, half of them by their name."""
    folder = sounds / "usr/share/asterisk/sounds"
    found = []
    for path in sorted(folder.glob(VOICES[voice])):
        if path.name.startswith(NO_SPEECH):
            continue
        half = hashlib.sha256(path.stem.encode()).digest()[0] % 2 == 1
        if half == odd and SHORTEST_S <= len(trimmed(read(path))) / RATE <= LONGEST_S:
            found.append(path)
    return tuple(found)


def read(path: Path) -> Samples:
    """Samples of a WAV or GSM file, 8 kHz."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0
    with av.open(str(path), format="gsm") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames) / 32768.0


def loud(samples: Samples) -> NDArray[np.bool_]:
    """Whether each frame of 20 ms is louder than the loudest one less 38 dB."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    return power > power.max(initial=0.0) * 10 ** (QUIET_DB / 10)


def trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends; empty where there is nothing."""
    at = np.flatnonzero(loud(samples))
    return samples[at[0] * FRAME : (at[-1] + 1) * FRAME] if len(at) else samples[:0]


def spoken(samples: Samples) -> list[tuple[float, float]]:
    """Where a trimmed prompt is speech, seconds; pauses below half a second are part of it."""
    at = np.flatnonzero(loud(samples))
    breaks = np.flatnonzero(np.diff(at) > PAUSE_S * RATE / FRAME)
    first = [at[0], *at[breaks + 1]]
    last = [*at[breaks], at[-1]]
    step = FRAME / RATE
    return [(a * step, (b + 1) * step) for a, b in zip(first, last, strict=True)]


def mix(name: str, sounds: Path, number: int, seed: int) -> tuple[Samples, list[str]]:
    """One conversation: samples and lines of RTTM."""
    wanted = SETS[name]
    dice = random.Random(f"{number}/{seed}")  # noqa: S311 - no secret
    voices = sorted(dice.sample(sorted(VOICES), number))
    left = {voice: [*prompts(sounds, voice, odd=wanted.odd)] for voice in voices}
    for paths in left.values():
        dice.shuffle(paths)
    order = [voices[turn % number] for turn in range(TURNS)]
    dice.shuffle(order)
    out = np.zeros(RATE * 600)
    lines, at, before = [], 0.5, 0.0
    for turn, voice in enumerate(order):
        samples = trimmed(read(left[voice].pop()))
        level = 10 ** ((-23 + dice.uniform(-3, 3)) / 20)
        samples = samples * level / np.sqrt(np.square(samples).mean())
        seconds = len(samples) / RATE
        other = turn and order[turn - 1] != voice
        if other and dice.random() < wanted.overlap:
            at -= min(before, seconds) * dice.uniform(0.1, 0.43)
        start = round(at * RATE)
        out[start : start + len(samples)] += samples
        for a, b in spoken(samples):
            lines.append(f"SPEAKER mix 1 {at + a:.3f} {b - a:.3f} <NA> <NA> {voice} <NA> <NA>")
        at += seconds + dice.uniform(*wanted.gap_s)
        before = seconds
    return out[: round((at + 0.5) * RATE)], lines


def main() -> None:
    """Write the mixes that the command line asks for."""
    sounds, folder, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or SETS:
        for number in SETS[name].voices:
            for seed in SETS[name].seeds:
                samples, lines = mix(name, Path(sounds), number, seed)
                path = Path(folder) / f"{name}-{number}-{seed}.wav"
                with wave.open(str(path), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(RATE)
                    peak = max(1.0, np.abs(samples).max() * 1.01)
                    file.writeframes((samples / peak * 32767).astype("<i2").tobytes())
                path.with_suffix(".rttm").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
