"""Scoring any recogniser on the held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from glagol.forge.nano import features
from glagol.forge.nano.batches import stack
from glagol.forge.nano.clips import Clip
from glagol.forge.nano.greedy import ctc_texts, rnnt_texts
from glagol.forge.nano.score import Score, score
from glagol.forge.reference import TwoHeadModel

Wave = NDArray[np.float32]
Recogniser = Callable[[list[Wave]], list[str]]
"""Maps waveforms (float32 in -1..1, 16 kHz) to texts in а-я, ё and space."""

BATCH = 16


def transcribe(recognise: Recogniser, waves: Sequence[Wave]) -> list[str]:
    """Return the texts of waves in their order; recognised in batches of like lengths."""
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


def torch_recogniser(model: TwoHeadModel, head: str, device: str = "cpu") -> Recogniser:
    """Return a greedy recogniser by the torch model; head is ``ctc`` or ``rnnt``.

    Raises ValueError on another head.
    """
    if head not in {"ctc", "rnnt"}:
        raise ValueError(f"there is no head {head!r}: ctc or rnnt")

    def recognise(waves: list[Wave]) -> list[str]:
        stacked, samples = stack(waves, bucket=1)
        mels = features.log_mel(features.power(stacked)).to(device)
        with torch.inference_mode():
            encoded, lengths = model.encoder(mels, features.frame_count(samples).to(device))
            if head == "ctc":
                return ctc_texts(model.ctc, encoded, lengths)
            return rnnt_texts(model.rnnt, encoded, lengths)

    return recognise


def quick_judge(
    clips: dict[str, list[Clip]], heads: tuple[str, ...], device: str
) -> Callable[[TwoHeadModel], str]:
    """Return a function that tells a model's WER / CER on a few clips of each set."""

    def judge(model: TwoHeadModel) -> str:
        parts = []
        for head in heads:
            recognise = torch_recogniser(model, head, device)
            for name, members in clips.items():
                found = evaluate(recognise, members)
                parts.append(f"{head} {name} WER {found.wer:.1f} CER {found.cer:.2f}")
        return ", ".join(parts)

    return judge
