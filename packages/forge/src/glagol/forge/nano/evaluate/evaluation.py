"""Scoring any recogniser on the held-out clips; torch is not needed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from glagol.forge.nano.evaluate.score import Score, score
from glagol.forge.nano.speech.clips import Clip

Wave = NDArray[np.float32]
Recogniser = Callable[[list[Wave]], list[str]]
"""Maps waveforms (float32 in -1..1, 16 kHz) to texts in а-я, ё and space."""

BATCH = 16


def transcribe(recognise: Recogniser, waves: Sequence[Wave]) -> list[str]:
    """Return the texts of waves [n] in their order; recognised in batches of like lengths."""
    order = sorted(range(len(waves)), key=lambda index: len(waves[index]))
    texts = [""] * len(waves)
    for first in range(0, len(order), BATCH):
        part = order[first : first + BATCH]
        for index, text in zip(part, recognise([waves[i] for i in part]), strict=True):
            texts[index] = text
    return texts


def evaluate(recognise: Recogniser, clips: Sequence[Clip]) -> Score:
    """Return the score of a recogniser on clips."""
    texts = transcribe(recognise, [clip.waveform for clip in clips])
    return score([clip.text for clip in clips], texts)
