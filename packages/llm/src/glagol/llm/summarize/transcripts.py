"""What may be summarised: plain text, or a transcript as this project's recogniser writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from glagol.core.errors import InputError
from glagol.llm.summarize.chunking import Segment, from_text

__all__ = ["Transcript", "from_json", "from_plain", "from_value"]

_REMEDY: Final = "send text, or the JSON that `glagol transcribe --format json` writes"


@dataclass(frozen=True, slots=True)
class Transcript:
    """The input of a summary.

    Attributes:
        segments: In order, with ids `s1`, `s2`, ...; at least one says something.
        language: As the transcript names it; None when it does not.
    """

    segments: tuple[Segment, ...]
    language: str | None = None

    @property
    def text(self) -> str:
        """Everything that was said."""
        return "".join(segment.text for segment in self.segments)


class _Segment(msgspec.Struct, frozen=True):
    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    channel: int | str | None = None


class _Transcript(msgspec.Struct, frozen=True):
    text: str = ""
    segments: list[_Segment] = []
    language: str | None = None


def from_plain(text: str) -> Transcript:
    """A text, one segment for each line.

    Raises:
        InputError: `text_empty`.
    """
    return _sound(Transcript(from_text(text)))


def from_json(data: bytes) -> Transcript:
    """A transcript's JSON, with or without the envelope of an HTTP answer.

    Raises:
        InputError: `request_invalid`, it is none; `text_empty`, it says nothing.
    """
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InputError("request_invalid", f"not JSON: {error}", _REMEDY) from error
    return from_value(value)


def from_value(value: Any) -> Transcript:
    """A transcript from decoded JSON, see `from_json`.

    Raises:
        InputError: `request_invalid`, it is none; `text_empty`, it says nothing.
    """
    if isinstance(value, dict) and isinstance(value.get("data"), dict):
        value = value["data"]
    try:
        found = msgspec.convert(value, _Transcript)
    except msgspec.ValidationError as error:
        raise InputError("request_invalid", f"not a transcript: {error}", _REMEDY) from error
    if not found.segments:
        return _sound(Transcript(from_text(found.text), found.language))
    segments = tuple(
        Segment(f"s{number}", segment.text, segment.start, segment.end, _speaker(segment))
        for number, segment in enumerate(found.segments, 1)
    )
    return _sound(Transcript(segments, found.language))


def _speaker(segment: _Segment) -> str:
    if segment.speaker:
        return segment.speaker
    return "" if segment.channel is None else str(segment.channel)


def _sound(transcript: Transcript) -> Transcript:
    if not any(segment.text.strip() for segment in transcript.segments):
        raise InputError("text_empty", "there is nothing to summarise", _REMEDY)
    return transcript
