"""Read the input of a summary: plain text, or a transcript as asr-server writes it."""

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
        segments: In order, with ids `s1`, `s2`, ...; at least one is not blank.
        language: Language of the transcript; None if it names none.
    """

    segments: tuple[Segment, ...]
    language: str | None = None

    @property
    def text(self) -> str:
        """The texts of all segments."""
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
    """Make a transcript of plain text, with one segment per line.

    Raises:
        InputError: `text_empty`.
    """
    return _not_blank(Transcript(from_text(text)))


def from_json(data: bytes) -> Transcript:
    """Read a transcript's JSON, with or without the envelope of an HTTP response.

    Raises:
        InputError: `request_invalid`, it is no transcript; `text_empty`, all its text is blank.
    """
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InputError("request_invalid", f"not JSON: {error}", _REMEDY) from error
    return from_value(value)


def from_value(value: Any) -> Transcript:
    """Make a transcript of decoded JSON, see `from_json`.

    Raises:
        InputError: `request_invalid`, it is no transcript; `text_empty`, all its text is blank.
    """
    if isinstance(value, dict) and isinstance(value.get("data"), dict):
        value = value["data"]
    try:
        found = msgspec.convert(value, _Transcript)
    except msgspec.ValidationError as error:
        raise InputError("request_invalid", f"not a transcript: {error}", _REMEDY) from error
    if not found.segments:
        return _not_blank(Transcript(from_text(found.text), found.language))
    segments = tuple(
        Segment(f"s{number}", segment.text, segment.start, segment.end, _speaker(segment))
        for number, segment in enumerate(found.segments, 1)
    )
    return _not_blank(Transcript(segments, found.language))


def _speaker(segment: _Segment) -> str:
    if segment.speaker:
        return segment.speaker
    return "" if segment.channel is None else str(segment.channel)


def _not_blank(transcript: Transcript) -> Transcript:
    if not any(segment.text.strip() for segment in transcript.segments):
        raise InputError("text_empty", "there is nothing to summarise", _REMEDY)
    return transcript
