"""Training losses: CTC with an intermediate term, and the exact transducer loss in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from glagol.forge.families.gigaam.reference import TwoHeadModel
from glagol.forge.nano.text.vocabulary import BLANK
from glagol.forge.nano.train.batches import Batch

INTERMEDIATE_WEIGHT = 0.3
RNNT_WEIGHT = 0.5


def ctc(log_probs: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
    """Return the mean over clips of the CTC loss per letter; log_probs [B, T, C]."""
    losses = functional.ctc_loss(
        log_probs.transpose(0, 1),
        batch.targets,
        lengths,
        batch.target_lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return (losses / batch.target_lengths).mean()


def ctc_objective(model: TwoHeadModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss to minimise and the CTC loss of the last layer alone, both scalars [].

    The output of the middle layer passes through the same head, which speeds up early training.
    """
    encoded, lengths, middle = model.encoder.forward_with_middle(batch.features, batch.lengths)
    final = ctc(model.ctc(encoded), lengths, batch)
    early = ctc(model.ctc(middle), lengths, batch)
    weight = INTERMEDIATE_WEIGHT
    return (1 - weight) * final + weight * early, final.detach()


def transducer(log_probs: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
    """Return the exact RNN-T loss of each clip [B]; log_probs [B, T, U + 1, C].

    The forward recursion runs in float64, with one cumulative log-sum over U per frame; autograd
    computes the gradients.
    """
    blanks = log_probs[..., BLANK].double()
    index = batch.targets[:, None, :, None].expand(-1, log_probs.size(1), -1, 1)
    emits = log_probs[:, :, :-1].gather(3, index)[..., 0].double()
    letters = torch.arange(batch.targets.size(1), device=emits.device)
    emits = emits * (letters[None, :] < batch.target_lengths[:, None])[:, None, :]
    # cumulative[b, t, u]: log-probability of emitting the first u letters all in frame t
    cumulative = functional.pad(emits.cumsum(2), (1, 0))
    alpha = cumulative[:, 0]
    rows = [alpha]
    for frame in range(1, log_probs.size(1)):
        entering = alpha + blanks[:, frame - 1] - cumulative[:, frame]
        alpha = torch.logcumsumexp(entering, dim=1) + cumulative[:, frame]
        rows.append(alpha)
    clips = torch.arange(log_probs.size(0), device=emits.device)
    total = torch.stack(rows, dim=1) + blanks
    return -total[clips, lengths - 1, batch.target_lengths]


def joint_objective(model: TwoHeadModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss of both heads to minimise and the transducer loss alone, both scalars []."""
    encoded, lengths, middle = model.encoder.forward_with_middle(batch.features, batch.lengths)
    final = ctc(model.ctc(encoded), lengths, batch)
    early = ctc(model.ctc(middle), lengths, batch)
    losses = transducer(model.rnnt(encoded, batch.targets), lengths, batch)
    rnnt = (losses / batch.target_lengths).mean()
    both_ctc = (1 - INTERMEDIATE_WEIGHT) * final + INTERMEDIATE_WEIGHT * early
    return (1 - RNNT_WEIGHT) * both_ctc + RNNT_WEIGHT * rnnt, rnnt.detach()
