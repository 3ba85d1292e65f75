"""Decode batches greedily with the torch reference of the model."""

from __future__ import annotations

import torch
from torch import Tensor

from glagol.forge.families.gigaam.reference import CtcHead, RnntHead
from glagol.forge.nano.text.vocabulary import BLANK, collapse, decode

MAX_SYMBOLS_PER_FRAME = 10


def ctc_texts(head: CtcHead, encoded: Tensor, lengths: Tensor) -> list[str]:
    """Return the best-path texts of encoded clips [B, T, D]."""
    best = head(encoded).argmax(dim=-1)
    return [collapse(row[:size].tolist()) for row, size in zip(best, lengths.tolist(), strict=True)]


def rnnt_texts(head: RnntHead, encoded: Tensor, lengths: Tensor) -> list[str]:
    """Return frame-synchronous greedy texts of encoded clips [B, T, D].

    The state of the predictor changes only when a letter is emitted, at most ten times a frame.
    """
    batch = encoded.size(0)
    symbols: list[list[int]] = [[] for _ in range(batch)]
    frames = head.joint.enc(encoded)
    start = torch.full((batch,), BLANK, device=encoded.device)
    output, state = head.decoder.step(start)
    predicted = head.joint.pred(output)
    for frame in range(encoded.size(1)):
        active = frame < lengths
        for _ in range(MAX_SYMBOLS_PER_FRAME):
            best = head.joint.joint_net(frames[:, frame] + predicted).argmax(dim=-1)
            active = active & (best != BLANK)
            if not bool(active.any()):
                break
            for row in active.nonzero()[:, 0].tolist():
                symbols[row].append(int(best[row]))
            output, moved = head.decoder.step(best, state)
            kept = active[None, :, None]
            state = (torch.where(kept, moved[0], state[0]), torch.where(kept, moved[1], state[1]))
            predicted = torch.where(active[:, None], head.joint.pred(output), predicted)
    return [decode(row) for row in symbols]
