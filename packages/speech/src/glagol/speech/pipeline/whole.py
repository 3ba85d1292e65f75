"""What all ways to a transcript share: cuts by the options, and the transcript from its parts.

`glagol.speech.pipeline.recognizer` recognises each window as soon as it is cut,
`glagol.speech.pipeline.planned` after all were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from glagol.speech.pipeline.channel_decoder import searched, spoken
from glagol.speech.segmentation.planner import combined
from glagol.speech.types import SAMPLE_RATE, Coverage, Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.pipeline.channel_decoder import ChannelDecoder
    from glagol.speech.segmentation.planner import Rule
    from glagol.speech.types import Options, Provenance, Segment

__all__ = ["Finished", "ruled", "uncut_s", "whole"]


class Finished(Protocol):
    """One channel that was cut to its end; positions in samples."""

    @property
    def total(self) -> int:
        """Samples of the recording."""

    @property
    def decoded(self) -> int:
        """Samples in the cores of its pieces."""

    @property
    def dropped(self) -> int:
        """Samples dropped as silence."""

    @property
    def used_vad(self) -> bool:
        """Whether voice activity decided."""

    @property
    def plan_sha256(self) -> str:
        """Digest of where it was cut."""


def ruled(rule: Rule, options: Options) -> Rule:
    """The engine's rule with the pause that the caller asked for."""
    gap_s = rule.keep_gap if options.pause_s is None else options.pause_s
    return replace(rule, keep_gap=gap_s)


def uncut_s(options: Options) -> float:
    """Seconds up to which a recording is not cut; with split channels one speaks, others do not."""
    return 0.0 if options.channel == "split" else options.short_audio_s


def whole(
    provenance: Provenance,
    segments: tuple[Segment, ...],
    cut: Sequence[Finished],
    options: Options,
    decoders: Sequence[ChannelDecoder],
    sha256: str | None,
) -> Transcript:
    """The transcript of a recording, without the warnings about its sound.

    Args:
        provenance: what is known before any audio.
        segments: all, in order.
        cut: the channels.
        options: what the caller chose.
        decoders: of the channels, after their last window.
        sha256: digest of the recording's file, if known.
    """
    coverages = [
        Coverage(round(c.decoded / SAMPLE_RATE, 3), round(c.dropped / SAMPLE_RATE, 3)) for c in cut
    ]
    plans = [channel.plan_sha256 for channel in cut]
    split = options.channel == "split"
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        segments=segments,
        duration_s=round(cut[0].total / SAMPLE_RATE, 3),
        language=spoken(decoders, options),
        coverage=_sum(coverages) if split else coverages[0],
        warnings=tuple(dict.fromkeys(each for h in decoders for each in h.warnings)),
        provenance=searched(
            replace(
                provenance,
                vad=provenance.vad if any(c.used_vad for c in cut) else None,
                chunk_plan_sha256=combined(plans) if split else plans[0],
                audio_sha256=sha256,
            ),
            decoders,
        ),
    )


def _sum(coverages: Sequence[Coverage]) -> Coverage:
    return Coverage(
        round(sum(coverage.decoded_s for coverage in coverages), 3),
        round(sum(coverage.dropped_s for coverage in coverages), 3),
        tuple(coverages),
    )
