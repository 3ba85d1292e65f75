"""A transcript that people may correct: segments of words, as values that never change.

Times are whole milliseconds from the start of the recording, so that equal documents have equal
bytes and equal digests.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Document", "Origin", "Segment", "Word", "digest", "segment_digest"]

Origin: TypeAlias = Literal["machine", "person"]


class Word(msgspec.Struct, frozen=True, array_like=True):
    """One word.

    Attributes:
        text: Without spaces at its ends; it may hold punctuation.
        start_ms: Where it begins.
        end_ms: Where it ends, not before `start_ms`.
        confidence: Per cent, 0..100; None where it is unknown.
        origin: The author: model or person.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: int | None = None
    origin: Origin = "machine"


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """What one speaker says without a pause.

    Attributes:
        id: Stable as long as the recording is there; numbers are not used again.
        start_ms: Where it begins.
        end_ms: Where it ends, not before `start_ms`.
        speaker: Key of a speaker, such as `ch0` or `spk1`; empty when unknown.
        words: By place in the text; their times rise and lie inside the segment.
        reviewed: Whether a person has said that the text is right.
    """

    id: int
    start_ms: int
    end_ms: int
    speaker: str
    words: tuple[Word, ...]
    reviewed: bool = False

    @property
    def text(self) -> str:
        """The words joined by one space."""
        return " ".join(word.text for word in self.words)

    @property
    def order(self) -> tuple[int, int]:
        """Segments of a document are sorted by this."""
        return self.start_ms, self.id


class Document(msgspec.Struct, frozen=True):
    """The text of a recording at one moment.

    Attributes:
        segments: Sorted by `Segment.order`.
        names: What people call the speakers, by key.
    """

    segments: tuple[Segment, ...] = ()
    names: dict[str, str] = {}

    def by_id(self) -> dict[int, Segment]:
        """The segments by their id."""
        return {segment.id: segment for segment in self.segments}


def segment_digest(segment: Segment) -> str:
    """SHA-256 of a segment in its one JSON form, hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(segment)).hexdigest()


def digest(segments: Iterable[tuple[int, str]], names: Mapping[str, str]) -> str:
    """SHA-256 of a document, hexadecimal.

    Args:
        segments: Id and `segment_digest` of each; their order does not matter.
        names: Of the speakers.

    Returns:
        The digest of the lines `<id> <digest>`, sorted by id, then of the names as sorted JSON. An
        edit that touches one segment needs the digest of this one anew, not of an hour of text.
    """
    lines = "".join(f"{number} {sha256}\n" for number, sha256 in sorted(segments))
    body = lines.encode() + msgspec.json.encode(dict(names), order="deterministic")
    return hashlib.sha256(body).hexdigest()
