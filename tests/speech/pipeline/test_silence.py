"""Silence around speech costs no words: the window is the model's own, split channels have VAD."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

import sounds
from glagol.speech import Options, Recognizer
from glagol.speech.types import SAMPLE_RATE

Opener = Callable[..., Recognizer]


@pytest.mark.parametrize(("before_s", "after_s"), [(10.5, 0), (4, 0), (0, 10.5), (5, 5), (30, 8)])
def test_words_and_times_are_those_without_silence(
    recognizer: Opener, before_s: float, after_s: float
) -> None:
    """A recording longer than the model was trained on is searched for speech, however short."""
    samples, rate = sounds.samples()
    plain = recognizer().transcribe(io.BytesIO(sounds.wav(samples, rate)))
    around = np.pad(samples, (round(before_s * rate), round(after_s * rate)))
    found = recognizer().transcribe(io.BytesIO(sounds.wav(around, rate)))
    assert found.text == plain.text
    begins = [[w.start for s in each.segments for w in s.words] for each in (plain, found)]
    assert np.abs(np.array(begins[1]) - before_s - begins[0]).max() < 0.15


def test_a_window_is_as_long_as_the_entry_says(recognizer: Opener) -> None:
    """Nano was trained on up to 14 s; an entry that says nothing is read as upstream's models."""
    assert recognizer().engine.traits.window_s == recognizer().rule.window == 14.0
    loud = np.tile(sounds.samples()[0], 3)[: 14 * SAMPLE_RATE + 1]
    whole, cut = (
        recognizer().transcribe(io.BytesIO(sounds.wav(loud[:count], SAMPLE_RATE)))
        for count in (len(loud) - 1, len(loud))
    )
    assert whole.provenance.vad is None
    assert cut.provenance.vad is not None


def test_a_quiet_channel_says_nothing(recognizer: Opener) -> None:
    """While one speaks the other's line hums; a recogniser alone would write words for that."""
    samples, rate = sounds.samples()
    voice = np.pad(samples, (rate, 2 * rate))
    hum = np.random.default_rng(3).normal(0, 0.004, len(voice)).astype(np.float32)
    data = sounds.wav(np.stack([voice, hum], axis=1), rate)
    found = recognizer().transcribe(io.BytesIO(data), options=Options(channel="split"))
    assert found.provenance.vad is not None
    assert {segment.channel for segment in found.segments} == {0}
    assert recognizer().transcribe(io.BytesIO(sounds.wav(hum, rate))).text  # why it is searched


@pytest.mark.parametrize("channel", ["mix", "split"])
def test_a_very_short_answer_is_recognised(
    recognizer: Opener, channel: Literal["mix", "split"]
) -> None:
    """A word of 0.2 s alone in a long recording, and in a short one whose channels are split."""
    samples, rate = sounds.samples()
    spoken = recognizer().transcribe(io.BytesIO(sounds.wav(samples, rate)))
    word = next(w for s in spoken.segments for w in s.words if w.text == "не")
    answer = samples[round((word.start - 0.02) * rate) : round((word.end + 0.1) * rate)]
    assert len(answer) < 0.25 * rate
    before_s = 12.0 if channel == "mix" else 3.0
    alone = np.pad(answer, (round(before_s * rate), round(before_s * rate)))
    data = sounds.wav(alone, rate)
    found = recognizer().transcribe(io.BytesIO(data), options=Options(channel=channel))
    assert found.segments
    assert found.segments[0].start == pytest.approx(before_s, abs=0.15)
