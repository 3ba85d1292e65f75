"""A job's stored result gives every format that the transcript itself gives."""

from __future__ import annotations

import pytest

from glagol.asr.http.rendering import render, render_stored, stored
from glagol.speech.output.formats import FORMATS
from glagol.speech.types import Transcript
from speech.output.test_formats import ONE
from speech.pipeline.test_split import DIALOGUE


@pytest.mark.parametrize("transcript", [ONE, DIALOGUE], ids=["mixed", "split"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_stored_renders_like_the_transcript(form: str, transcript: Transcript) -> None:
    assert render_stored(form, stored(transcript)) == render(form, transcript)
