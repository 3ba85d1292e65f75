"""A text of the library as a transcript, written by the writers of `glagol.speech.output`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.gateway.library import overview
from glagol.speech.output import formats
from glagol.speech.output.provenance import provenance_of
from glagol.speech.types import Coverage, Provenance, Segment, Transcript, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.gateway.library.document import Document
    from glagol.gateway.library.document import Segment as Part
    from glagol.gateway.library.history import Edit
    from glagol.gateway.library.library import Library, Recording
    from glagol.speech.output.formats import Format

__all__ = ["FORMATS", "Choice", "write"]

FORMATS: Final = formats.FORMATS


@dataclass(frozen=True, slots=True)
class Choice:
    """What an export holds.

    Attributes:
        times: Whether paragraphs have their time, where a format has a choice.
        speakers: Whether it names the speakers.
        reviewed: Only segments that a person has said are right.
        original: Number of the machine's text; 0 for the text as it is now.
    """

    times: bool = True
    speakers: bool = True
    reviewed: bool = False
    original: int = 0


def write(library: Library, recording: Recording, row: Format, choice: Choice) -> bytes:
    """The text of a recording in a format.

    Raises:
        InputError: `recording_unknown`, there is no such text.
    """
    if choice.original:
        document, _ = library.original(recording.id, choice.original)
    else:
        document, _ = library.text(recording.id)
    if choice.reviewed:
        kept = tuple(segment for segment in document.segments if segment.reviewed)
        document = msgspec.structs.replace(document, segments=kept)
    made = overview.made(library.db, recording)
    transcript = _transcript(document, recording, made, choice)
    edits = library.edits(recording.id) if not choice.original else []
    foot = _foot(recording, made[max(0, choice.original - 1)] if made else None, edits)
    transcript = replace(transcript, foot=foot)
    if choice.times and row.write_timed is not None:
        return row.write_timed(transcript)
    return row.write(transcript)


def _transcript(
    document: Document, recording: Recording, made: list[overview.Made], choice: Choice
) -> Transcript:
    keys = list(dict.fromkeys(segment.speaker for segment in document.segments))
    shown = choice.speakers and (len(keys) > 1 or any(document.names.values()))
    numbers = {key: number for number, key in enumerate(keys)} if shown else {}
    segments = tuple(_segment(each, numbers) for each in document.segments)
    about = made[max(0, choice.original - 1)] if made else None
    duration_s = (recording.duration_ms or 0) / 1000
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        segments=segments,
        duration_s=duration_s,
        language=about.language if about else "",
        coverage=Coverage(duration_s, 0.0, tuple(Coverage(0.0, 0.0) for _ in numbers)),
        provenance=_provenance(recording, about),
        names=tuple(" ".join((document.names.get(key) or key).split()) for key in numbers),
    )


def _foot(
    recording: Recording, made: overview.Made | None, edits: Sequence[Edit]
) -> tuple[str, ...]:
    """Which bytes made the text, in the language of the text."""
    russian = made is not None and made.language == "ru"
    lines = []
    if recording.audio_sha256:
        lines.append(f"{'Запись' if russian else 'Recording'}: sha256 {recording.audio_sha256}")
    if made is not None:
        name = "Текст машины" if russian else "Text by machine"
        lines.append(f"{name}: {made.model or '-'}, sha256 {made.result_sha256}")
    if edits:
        name = "Правок" if russian else "Edits"
        lines.append(f"{name}: {len(edits)}, {edits[-1].hash}")
    return tuple(lines)


def _segment(part: Part, numbers: dict[str, int]) -> Segment:
    words = tuple(
        Word(
            word.start_ms / 1000,
            word.end_ms / 1000,
            word.text,
            1.0 if word.confidence is None else word.confidence / 100,
        )
        for word in part.words
    )
    channel = numbers.get(part.speaker)
    return Segment(part.start_ms / 1000, part.end_ms / 1000, part.text, words, channel)


def _provenance(recording: Recording, made: overview.Made | None) -> Provenance:
    """That of the machine's text; what an imported text does not say is empty."""
    empty = Provenance("", "", {}, 0, "", "", "", "", None, None, "", recording.audio_sha256)
    if made is None:
        return empty
    try:
        return provenance_of({**made.provenance})
    except (KeyError, TypeError):
        return empty
