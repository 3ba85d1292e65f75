"""A job's stored result gives every format that the transcript itself gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from glagol.asr.http import schemas
from glagol.asr.http.rendering import render, render_stored, stored
from glagol.core.errors import InputError
from glagol.speech.output.formats import FORMATS, as_data
from glagol.speech.types import Transcript
from speech.output.test_formats import ONE
from speech.output.test_speakers import WHOLE
from speech.pipeline.test_split import DIALOGUE


@pytest.mark.parametrize("transcript", [ONE, DIALOGUE, WHOLE], ids=["mixed", "split", "speakers"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_stored_renders_like_the_transcript(form: str, transcript: Transcript) -> None:
    """In every form; RTTM only of a transcript that says who speaks."""
    if form == "rttm" and transcript is ONE:
        with pytest.raises(InputError, match="rttm says who speaks"):
            render_stored(form, stored(transcript))
        return
    assert render_stored(form, stored(transcript)) == render(form, transcript)


@pytest.mark.parametrize("transcript", [ONE, DIALOGUE, WHOLE], ids=["mixed", "split", "speakers"])
def test_the_document_describes_what_is_written(transcript: Transcript) -> None:
    """The structs of the OpenAPI document read every key of an answer, and know no other."""
    answer = msgspec.json.decode(render("json", transcript), type=schemas.Envelope)
    assert present(msgspec.to_builtins(answer.data)) == present(as_data(transcript))


def present(data: Any) -> Any:
    """The data without keys whose value is null, at any depth."""
    if isinstance(data, dict):
        return {key: present(value) for key, value in data.items() if value is not None}
    return [present(value) for value in data] if isinstance(data, (list, tuple)) else data
