"""Where a text has its parts, and where the next window begins (`whisper/transcribe.py` upstream).

Timestamps are relative to the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glagol.speech.engines.whisper.ids import TIMESTAMP_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.engines.whisper.ids import Ids

__all__ = ["Part", "parts_of", "reached", "spread"]


@dataclass(frozen=True, slots=True)
class Part:
    """Text between two timestamps.

    Attributes:
        start: seconds.
        end: seconds; None where the text ends without a timestamp.
        first: index of its first token.
        last: index after its last token.
    """

    start: float
    end: float | None
    first: int
    last: int


def parts_of(tokens: Sequence[int], ids: Ids) -> list[Part]:
    """The parts of a text that are not empty, in order; together they have all its text tokens."""
    found: list[Part] = []
    start, first = 0.0, 0
    for at, token in enumerate(tokens):
        if token < ids.timestamps:
            continue
        seconds = (token - ids.timestamps) * TIMESTAMP_S
        if at > first:
            found.append(Part(start, seconds, first, at))
        start, first = seconds, at + 1
    if first < len(tokens):
        found.append(Part(start, None, first, len(tokens)))
    return found


def reached(tokens: Sequence[int], ids: Ids) -> float | None:
    """Seconds up to which a text says what was spoken; None where it ends without a timestamp."""
    if not tokens or tokens[-1] < ids.timestamps:
        return None
    return (tokens[-1] - ids.timestamps) * TIMESTAMP_S


def spread(parts: Sequence[Part], end_s: float) -> list[int]:
    """Where tokens start if those of a part take equal time, and where the last one ends.

    For a translation, whose words have no place in the sound.

    Args:
        parts: of a text that is not empty.
        end_s: end of the speech, seconds; no part ends later.

    Returns:
        Frames of 20 ms, one for each text token and one for the end.
    """
    frames: list[int] = []
    for part in parts:
        start, end = min(part.start, end_s), min(end_s if part.end is None else part.end, end_s)
        count = part.last - part.first
        step = (end - start) / count
        frames += [round((start + step * at) / TIMESTAMP_S) for at in range(count)]
    return [*frames, round(end / TIMESTAMP_S)]
