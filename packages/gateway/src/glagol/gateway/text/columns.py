"""A text in columns: one list for each segment, numbers instead of objects for its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.gateway.library.document import Document, Segment, Word

__all__ = ["ChangesView", "SegmentView", "SpeakerView", "TextView", "of_document", "of_segment"]

UNKNOWN: Final = -1
"""Confidence of a word of which nothing is known."""

WRITTEN: Final = -2
"""Confidence of a word that a person wrote."""


class SegmentView(msgspec.Struct, frozen=True, array_like=True):
    """A segment; `times` has three numbers for each word of `text` between single spaces.

    They are the start after the start of the word before (of the first one: after the segment's),
    the length, both in milliseconds, and the confidence in per cent, `UNKNOWN` or `WRITTEN`.
    """

    id: int
    start_ms: int
    end_ms: int
    speaker: str
    reviewed: int
    text: str
    times: list[int]


class SpeakerView(msgspec.Struct, frozen=True):
    """A speaker: key, name (empty for none), and how much is theirs."""

    key: str
    name: str
    ms: int
    segments: int


class TextView(msgspec.Struct, frozen=True):
    """A whole text; `edit` is the number of its last edit."""

    edit: int
    text_sha256: str
    duration_ms: int | None
    language: str
    speakers: list[SpeakerView]
    segments: list[SegmentView]


class ChangesView(msgspec.Struct, frozen=True):
    """What to change in a page that shows an older text; `number` is the request's own edit."""

    edit: int
    text_sha256: str
    segments: list[SegmentView]
    removed: tuple[int, ...]
    speakers: list[SpeakerView]
    by: str = ""
    number: int | None = None


def of_document(
    document: Document, edit: int, sha256: str, duration_ms: int | None, language: str
) -> TextView:
    """A document in columns."""
    return TextView(
        edit,
        sha256,
        duration_ms,
        language,
        speakers_of(document),
        [of_segment(segment) for segment in document.segments],
    )


def of_segment(segment: Segment) -> SegmentView:
    """A segment in columns."""
    return SegmentView(
        segment.id,
        segment.start_ms,
        segment.end_ms,
        segment.speaker,
        int(segment.reviewed),
        segment.text,
        list(_times(segment.words, segment.start_ms)),
    )


def speakers_of(document: Document) -> list[SpeakerView]:
    """The speakers of a document, in the order in which they speak first."""
    length: dict[str, int] = {}
    count: dict[str, int] = {}
    for segment in document.segments:
        key = segment.speaker
        length[key] = length.get(key, 0) + segment.end_ms - segment.start_ms
        count[key] = count.get(key, 0) + 1
    return [
        SpeakerView(key, document.names.get(key, ""), length[key], count[key]) for key in length
    ]


def _times(words: Iterable[Word], at_ms: int) -> Iterable[int]:
    for word in words:
        yield word.start_ms - at_ms
        yield word.end_ms - word.start_ms
        if word.origin == "person":
            yield WRITTEN
        else:
            yield UNKNOWN if word.confidence is None else word.confidence
        at_ms = word.start_ms
