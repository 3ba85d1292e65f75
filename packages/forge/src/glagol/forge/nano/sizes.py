"""The sizes of gigaam-nano and its normalisation during training."""

from __future__ import annotations

from dataclasses import replace

from glagol.forge.families.gigaam.reference import EncoderConfig, RnntConfig, TwoHeadModel
from glagol.forge.nano.text.vocabulary import NUM_CLASSES

FEATURE_MEAN, FEATURE_STD = -9.0, 4.0
"""Log-mel of speech is about -20 to 0: without this pair training is slow."""

SHIPPED = EncoderConfig(n_layers=8, d_model=160, n_heads=4)
"""Encoder as exported: raw log-mel in, the normalisation folded into its first convolution."""

TRAINED = replace(SHIPPED, feature_mean=FEATURE_MEAN, feature_std=FEATURE_STD)
"""Encoder as trained."""

RNNT = RnntConfig(pred_hidden=192, joint_hidden=192)


def build(encoder: EncoderConfig) -> TwoHeadModel:
    """Return an untrained model with both heads."""
    return TwoHeadModel(encoder, NUM_CLASSES, RNNT)
