"""Numbers in digits where recordings and live streams are transcribed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import sounds
from glagol.speech import Options, Recognizer, Transcript
from glagol.speech.audio.decode import decode
from glagol.speech.output.formats import as_data, as_json, of_data
from glagol.speech.text.digits import RULES_VERSION
from glagol.speech.text.writing import Writer, described
from glagol.speech.types import Task, WritingProvenance
from speech import made

Opener = Callable[..., Recognizer]
DIGITS = Options(numbers="digits", short_audio_s=0.0)
SPOKEN = "девяносто две тысячи пятьсот сорок пять"
SUM = "92\u00a0545"


@pytest.fixture(scope="module")
def plain(recognizer: Opener) -> Transcript:
    """The bundled recording with its numbers in words."""
    return recognizer().transcribe(
        io.BytesIO(sounds.clip()), options=replace(DIGITS, numbers="words")
    )


@pytest.fixture(scope="module")
def digits(recognizer: Opener) -> Transcript:
    """The same with digits."""
    return recognizer().transcribe(io.BytesIO(sounds.clip()), options=DIGITS)


def test_a_sum_is_written_in_digits(plain: Transcript, digits: Transcript) -> None:
    assert SPOKEN in plain.text
    assert digits.text == plain.text.replace(SPOKEN, SUM)
    word = next(w for s in digits.segments for w in s.words if w.text == SUM)
    assert word.spoken == SPOKEN
    assert plain.writing is None
    assert digits.writing == WritingProvenance(RULES_VERSION, "digits")
    assert digits.provenance == plain.provenance


def test_a_live_stream_has_the_same_finals(recognizer: Opener, digits: Transcript) -> None:
    running = recognizer().live(options=DIGITS)
    samples, rate = sounds.samples()
    assert rate == 16_000
    found = [s for block in np.array_split(samples, 40) for s in running.push(block)]
    found += running.finish()
    assert tuple(found) == digits.segments
    assert running.transcript(tuple(found)).writing == digits.writing


def test_it_needs_no_word_times(recognizer: Opener, digits: Transcript) -> None:
    options = replace(DIGITS, word_timestamps=False)
    found = recognizer().transcribe(io.BytesIO(sounds.clip()), options=options)
    assert found.text == digits.text
    assert not any(segment.words for segment in found.segments)


def test_json_keeps_what_was_said_and_comes_back(plain: Transcript, digits: Transcript) -> None:
    """Where nothing was asked for, JSON has neither key."""
    data = json.loads(as_json(digits))
    writing = {"rules": RULES_VERSION, "numbers": "digits", "redact": False}
    assert data["provenance"]["writing"] == writing
    assert of_data(data) == digits
    assert b"spoken" not in as_json(plain)
    assert b"writing" not in as_json(plain)
    assert of_data(json.loads(as_json(plain))) == plain


@pytest.mark.parametrize(
    ("language", "task", "says"),
    [("en", "transcribe", "language en"), ("ru", "translate", "English")],
)
def test_another_language_stays_and_says_so(
    plain: Transcript, language: str, task: Task, says: str
) -> None:
    options = replace(DIGITS, task=task)
    assert Writer(options).push(plain.segments, language) == list(plain.segments)
    found = described(replace(plain, language=language), options)
    assert [notice.code for notice in found.warnings] == ["numbers_in_words"]
    assert says in found.warnings[0].message
    assert found.complete
    assert as_data(found)["warnings"]


def test_masks_are_the_same_in_a_file_and_live(recognizer: Opener) -> None:
    """Spoken by espeak-ng: a number over two segments, words off or on, files or streams."""
    parts = ["мой телефон восемь девятьсот двадцать", "триста сорок пять шестьдесят семь десять"]
    pause = np.zeros(22_050, np.float32)
    sound = np.concatenate([part for text in parts for part in (pause, made.spoken(text), pause)])
    options = Options(redact=True, short_audio_s=0.0)
    plain = recognizer().transcribe(
        io.BytesIO(made.wav(sound, 22_050)), options=replace(options, redact=False)
    )
    found = recognizer().transcribe(io.BytesIO(made.wav(sound, 22_050)), options=options)
    assert len(plain.segments) == len(found.segments) == 2
    assert "[phone]" in found.segments[0].text
    assert "[phone]" in found.segments[1].text
    assert not {"девятьсот", "триста", "шестьдесят"} & set(found.text.split())
    running = recognizer().live(options=options)
    samples = np.concatenate(list(decode(io.BytesIO(made.wav(sound, 22_050)), max_seconds=60)))
    live = [s for block in np.array_split(samples, 40) for s in running.push(block)]
    live += running.finish()
    assert tuple(live) == found.segments
    assert found.writing == WritingProvenance(RULES_VERSION, "words", redact=True)
