"""Transcripts as the bytes of an answer, fresh from the model or from a job's stored result.

What a job stores is the `data` of its answer, so its JSON is that of the synchronous route to the
byte; the other formats are made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from glagol.web import envelope

if TYPE_CHECKING:
    from glagol.asr.http.schemas import Format
    from glagol.speech.types import Transcript

__all__ = ["render", "render_stored", "stored"]


def render(form: Format, transcript: Transcript) -> bytes:
    """The answer of a transcription in `form`."""
    from glagol.speech.output import formats

    match form:
        case "json":
            return envelope.success(formats.as_json(transcript))
        case "text":
            return f"{formats.as_text(transcript)}\n".encode()
        case "tsv":
            return formats.as_tsv(transcript).encode()
        case "srt":
            return formats.as_srt(transcript).encode()
        case "vtt":
            return formats.as_vtt(transcript).encode()
        case _:
            assert_never(form)


def stored(transcript: Transcript) -> bytes:
    """What a job keeps of its transcript."""
    from glagol.speech.output import formats

    return formats.as_json(transcript)


def render_stored(form: Format, data: bytes) -> bytes:
    """The answer in `form`, made from what `stored` gave."""
    if form == "json":
        return envelope.success(data)
    from glagol.speech.output import formats

    return render(form, formats.of_data(msgspec.json.decode(data)))
