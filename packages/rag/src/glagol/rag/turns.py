"""From a transcript to turns, the units that search finds.

Small units find, big ones explain: a turn is what one speaker says without a pause, at most some
sixty words. Turns of several speakers in one unit cost half of the first hits
(docs/guides/search.md has the figures).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from glagol.core.errors import InputError

__all__ = ["CHUNKER", "Recording", "Turn", "from_transcript", "passage"]

CHUNKER: Final = "2"
"""Changes whenever the same transcript would give other turns, passages or stems."""

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
        confidence: Mean of its words, 0..1; None where the recogniser gave none.
    """

    start_s: float
    end_s: float
    speaker: str
    channel: int
    text: str
    confidence: float | None = None


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
        tags: Words by which people group recordings.
    """

    id: str
    owner: str
    folder: str
    title: str
    date: str
    turns: tuple[Turn, ...]
    tags: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of everything that search knows of it; equal means nothing to do."""
        about = [self.id, self.owner, self.folder, self.title, self.date, sorted(self.tags)]
        parts = [CHUNKER, about, self.turns]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


class _Word(msgspec.Struct, frozen=True):
    confidence: float | None = None


class _Segment(msgspec.Struct, frozen=True):
    text: str
    start: float = 0.0
    end: float = 0.0
    speaker: str | None = None
    channel: int | None = None
    words: list[_Word] | None = None


class _Transcript(msgspec.Struct, frozen=True):
    segments: list[_Segment]


def from_transcript(
    value: Any,
    identity: str,
    *,
    owner: str = "",
    folder: str = "",
    title: str = "",
    date: str = "",
    tags: Iterable[str] = (),
) -> Recording:
    """The recording of a transcript's JSON, with or without the envelope of an HTTP answer.

    `value` is the JSON; the rest is as in `Recording`.

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
    named = tuple(sorted(set(tags)))
    return Recording(identity, owner, folder, title or identity, date, turns, named)


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
        speaker, sure = segment.speaker or "", _confidence(segment)
        turn = Turn(segment.start, segment.end, speaker, channel, text, sure)
        if kept is None:
            kept = turn
        elif _continues(kept, turn):
            kept = _both(kept, turn)
        else:
            yield kept
            kept = turn
    if kept is not None:
        yield kept


def _continues(first: Turn, second: Turn) -> bool:
    same = (first.speaker, first.channel) == (second.speaker, second.channel)
    words = len(first.text.split()) + len(second.text.split())
    return same and second.start_s - first.end_s < GAP_S and words <= WORDS_MAX


def _both(first: Turn, second: Turn) -> Turn:
    sure = first.confidence
    if sure is not None and second.confidence is not None:
        words = [len(each.text.split()) for each in (first, second)]
        sure = (sure * words[0] + second.confidence * words[1]) / sum(words)
    else:
        sure = None
    text = f"{first.text} {second.text}"
    return replace(first, end_s=second.end_s, text=text, confidence=sure)


def _confidence(segment: _Segment) -> float | None:
    given = [word.confidence for word in segment.words or () if word.confidence is not None]
    return sum(given) / len(given) if given else None
