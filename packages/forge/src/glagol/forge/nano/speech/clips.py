"""Shards of clips on disk: one file of raw 16-bit samples and one table beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Mono 16-bit samples at 16 kHz, shape [N]."""

SAMPLE_RATE = 16000
MAX_SECONDS = 14
_SUBSAMPLED_HOP = 640


@dataclass(frozen=True)
class Clip:
    """One spoken sentence: ``pcm`` [N] int16 at 16 kHz, voice, pool and target text."""

    pcm: Pcm
    voice: str
    pool: str
    text: str

    @property
    def samples(self) -> int:
        """Length in samples."""
        return len(self.pcm)

    @property
    def waveform(self) -> NDArray[np.float32]:
        """Samples as float32 in -1..1, shape [N]."""
        return self.pcm.astype(np.float32) / 32768.0


def learnable(samples: int, text: str) -> bool:
    """Tell whether a clip is of a fit length and has enough frames for a CTC path."""
    repeats = sum(first == second for first, second in pairwise(text))
    frames = (samples - 320) // _SUBSAMPLED_HOP
    fits = 0.4 * SAMPLE_RATE <= samples <= MAX_SECONDS * SAMPLE_RATE
    return fits and frames >= 1.05 * (len(text) + repeats)


def write_shard(base: Path, clips: Iterable[Clip]) -> tuple[int, int, float]:
    """Write ``base.pcm`` and ``base.tsv``; return clips kept, clips dropped, hours kept.

    The table appears last and at once, so that an interrupted shard is never read.
    """
    offset = kept = dropped = 0
    rows: list[str] = []
    samples_path, table_path = base.with_suffix(".pcm"), base.with_suffix(".tsv")
    partial = base.with_suffix(".partial")
    with partial.open("wb") as file:
        for clip in clips:
            if not learnable(clip.samples, clip.text):
                dropped += 1
                continue
            file.write(clip.pcm.astype("<i2").tobytes())
            rows.append(f"{offset}\t{clip.samples}\t{clip.voice}\t{clip.pool}\t{clip.text}\n")
            offset += clip.samples
            kept += 1
    partial.rename(samples_path)
    partial.write_text("".join(rows), encoding="utf-8")
    partial.rename(table_path)
    return kept, dropped, offset / SAMPLE_RATE / 3600


def read_shard(base: Path) -> list[Clip]:
    """Map a shard's samples and return its clips. Raises OSError when it is not there."""
    samples = np.memmap(base.with_suffix(".pcm"), dtype="<i2", mode="r")
    found = []
    for line in base.with_suffix(".tsv").read_text(encoding="utf-8").splitlines():
        offset, length, voice, pool, text = line.split("\t")
        start = int(offset)
        found.append(Clip(samples[start : start + int(length)], voice, pool, text))
    return found


def read_shards(folder: Path, pattern: str) -> list[Clip]:
    """Return the clips of every finished shard whose table matches, in order of name."""
    tables = sorted(folder.glob(f"{pattern}.tsv"))
    return [clip for table in tables for clip in read_shard(table.with_suffix(""))]
