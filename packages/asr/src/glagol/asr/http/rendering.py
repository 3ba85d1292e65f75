"""Render a transcript, or a job's stored result, as the bytes of an answer.

A job stores the `data` of its answer, so its JSON equals that of the synchronous route to the byte.
The other formats are made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from glagol.speech.output import formats, notices
from glagol.speech.phrases.types import Phrases
from glagol.speech.speakers.types import Diarization
from glagol.speech.types import Notice, Segment, WritingProvenance
from glagol.web import envelope

if TYPE_CHECKING:
    from glagol.speech.types import Transcript

__all__ = ["Lacks", "header_stored", "lacks", "render", "render_stored", "stored"]


class Lacks(msgspec.Struct, frozen=True):
    """What a stored result says that its recording lacks; results of before say nothing."""

    warnings: tuple[Notice, ...] = ()
    complete: bool = True


# msgspec completes a type at its first use; a second thread that finds it half made crashes
msgspec.json.Decoder(
    tuple[Lacks, tuple[Segment, ...], Diarization | None, Phrases | None, WritingProvenance | None]
)


def render(form: str, transcript: Transcript) -> bytes:
    """The answer of a transcription in `form`, the name of a format."""
    data = formats.FORMATS[form].write(transcript)
    return envelope.success(data) if form == formats.JSON else data


def stored(transcript: Transcript) -> bytes:
    """What a job keeps of its transcript."""
    return formats.as_json(transcript)


def render_stored(form: str, data: bytes) -> bytes:
    """The answer in `form`, made from what `stored` gave."""
    if form == formats.JSON:
        return envelope.success(data)
    return render(form, formats.of_data(msgspec.json.decode(data)))


def lacks(data: bytes) -> Lacks:
    """What the recording of a stored result lacks."""
    return msgspec.json.decode(data, type=Lacks)


def header_stored(data: bytes) -> dict[str, str]:
    """The header of a stored result's answer."""
    return notices.header(lacks(data).warnings)
