"""The torch reference as a recogniser, and the short judgement during training."""

from __future__ import annotations

from collections.abc import Callable

import torch

from glagol.forge.families.gigaam.reference import TwoHeadModel
from glagol.forge.nano.evaluate.evaluation import Recogniser, Wave, evaluate
from glagol.forge.nano.evaluate.greedy import ctc_texts, rnnt_texts
from glagol.forge.nano.speech import features
from glagol.forge.nano.speech.clips import Clip
from glagol.forge.nano.train.batches import stack


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
