"""Parameters of a model of speakers in a manifest entry."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

__all__ = ["SpeakersConfig"]

Seconds: TypeAlias = Annotated[float, Meta(gt=0.0, le=60.0, description="seconds")]
Distance: TypeAlias = Annotated[float, Meta(gt=0.0, lt=2.0, description="1 - cosine")]


class SpeakersConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="speakers"
):
    """How turns are made of what the two networks say.

    Attributes:
        threshold: voices whose clusters are farther apart than this are different people.
        step_frames: frames between the starts of two windows of the segmentation.
        piece_max_s: longer speech of one person is embedded in equal pieces.
        piece_min_s: shorter pieces found no cluster; they are given to the nearest one.
        embedded_min_s: shorter pieces are not embedded at all.
        cluster_min_s: a cluster with less speech is given to the others,
        cluster_min_share: unless it has at least this share of all speech.
    """

    threshold: Distance = 0.55
    step_frames: Annotated[int, Meta(ge=37, le=589)] = 148
    piece_max_s: Seconds = 3.0
    piece_min_s: Seconds = 0.5
    embedded_min_s: Seconds = 0.25
    cluster_min_s: Seconds = 3.0
    cluster_min_share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.15
