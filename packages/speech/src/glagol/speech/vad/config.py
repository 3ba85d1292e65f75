"""Parameters of voice activity detection in a manifest entry."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

__all__ = ["Vad"]

Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, description="milliseconds")]
Probability: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]


class Vad(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="vad"
):
    """Voice activity parameters, as in silero-vad's `get_speech_timestamps`.

    Attributes:
        sample_rate: audio rate, Hz.
        threshold: speech starts at this probability.
        neg_threshold: speech ends below this probability; at most `threshold`.
        min_speech_ms: shorter speech is dropped.
        min_silence_ms: shorter silence does not end speech.
        speech_pad_ms: added on both sides of a span.
        max_speech_s: longer speech is cut at the longest silence inside it.
        min_silence_at_max_speech_ms: a silence must be this long to be such a cut.

    Raises:
        ValueError: `neg_threshold` is above `threshold`.
    """

    sample_rate: Literal[16_000] = 16_000
    threshold: Probability = 0.5
    neg_threshold: Probability = 0.35
    min_speech_ms: Milliseconds = 250
    min_silence_ms: Milliseconds = 100
    speech_pad_ms: Milliseconds = 30
    max_speech_s: Annotated[float, Meta(gt=0.0, description="seconds")] = 22.0
    min_silence_at_max_speech_ms: Milliseconds = 98

    def __post_init__(self) -> None:
        """Refuse thresholds that would end speech as it starts."""
        if self.neg_threshold > self.threshold:
            raise ValueError(f"neg_threshold {self.neg_threshold} is above {self.threshold}")
