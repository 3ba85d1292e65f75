"""From a transcript to turns, the units that search finds.

Small units find, big ones explain: a turn is what one speaker says without a pause, at most some
sixty words. Turns of several speakers in one unit cost half of the first hits
(docs/guides/search.md has the figures).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from glagol.core.errors import InputError

__all__ = ["CHUNKER", "Recording", "Turn", "from_transcript", "passage"]

CHUNKER: Final = "1"
"""Changes whenever the same transcript would give other turns or other passages."""

WORDS_MAX: Final = 60
GAP_S: Final = 2.0
_REMEDY: Final = "give a transcript as `glagol transcribe --format json` writes it"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says at a time.

    Attributes:
        start_s: Where it begins.
        end_s: Where it ends.
        speaker: Name or label; empty when none is known.
        channel: Of the recording; -1 when there is none.
        text: As it was transcribed.
    """

    start_s: float
    end_s: float
    speaker: str
    channel: int
    text: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A transcript with what it is known by.

    Attributes:
        id: Of the recording, unique in the index.
        owner: Whose it is; empty without keys.
        folder: Where it lies.
        title: As people know it.
        date: Day of the recording, `YYYY-MM-DD`; empty when unknown.
        turns: What was said.
    """

    id: str
    owner: str
    folder: str
    title: str
    date: str
    turns: tuple[Turn, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that search knows of it; equal means nothing to do."""
        parts = [CHUNKER, self.id, self.owner, self.folder, self.title, self.date, self.turns]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


class _Segment(msgspec.Struct, frozen=True):
    text: str
    start: float = 0.0
    end: float = 0.0
    speaker: str | None = None
    channel: int | None = None


class _Transcript(msgspec.Struct, frozen=True):
    segments: list[_Segment]


def from_transcript(
    value: Any, identity: str, *, owner: str = "", folder: str = "", title: str = "", date: str = ""
) -> Recording:
    """The recording of a transcript's JSON, with or without the envelope of an HTTP answer.

    Raises:
        InputError: `request_invalid`, it is no transcript; `text_empty`, it says nothing.
    """
    if isinstance(value, dict) and isinstance(value.get("data"), dict):
        value = value["data"]
    try:
        found = msgspec.convert(value, _Transcript)
    except msgspec.ValidationError as error:
        raise InputError("request_invalid", f"not a transcript: {error}", _REMEDY) from error
    turns = tuple(_joined(found.segments))
    if not turns:
        raise InputError("text_empty", f"{identity} says nothing", _REMEDY)
    return Recording(identity, owner, folder, title or identity, date, turns)


def passage(recording: Recording, turn: Turn) -> str:
    """The text of a turn to embed: title, date and speaker, then the words."""
    head = ", ".join(part for part in (recording.title, recording.date, turn.speaker) if part)
    return f"{head}: {turn.text}"


def _joined(segments: list[_Segment]) -> Iterator[Turn]:
    kept: Turn | None = None
    for segment in segments:
        text = " ".join(segment.text.split())
        if not text:
            continue
        channel = -1 if segment.channel is None else segment.channel
        turn = Turn(segment.start, segment.end, segment.speaker or "", channel, text)
        if kept is None:
            kept = turn
        elif _continues(kept, turn):
            kept = replace(kept, end_s=turn.end_s, text=f"{kept.text} {turn.text}")
        else:
            yield kept
            kept = turn
    if kept is not None:
        yield kept


def _continues(first: Turn, second: Turn) -> bool:
    same = (first.speaker, first.channel) == (second.speaker, second.channel)
    words = len(first.text.split()) + len(second.text.split())
    return same and second.start_s - first.end_s < GAP_S and words <= WORDS_MAX
