"""A job's stored result gives every format that the transcript itself gives."""

from __future__ import annotations

from typing import get_args

import pytest

from glagol.asr.http.rendering import render, render_stored, stored
from glagol.asr.http.schemas import Format
from glagol.speech.types import Transcript
from speech.output.test_formats import ONE
from speech.pipeline.test_split import DIALOGUE


@pytest.mark.parametrize("transcript", [ONE, DIALOGUE], ids=["mixed", "split"])
@pytest.mark.parametrize("form", get_args(Format))
def test_what_is_stored_renders_like_the_transcript(form: Format, transcript: Transcript) -> None:
    assert render_stored(form, stored(transcript)) == render(form, transcript)
