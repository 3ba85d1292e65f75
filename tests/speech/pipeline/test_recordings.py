"""The words of a recording stand where its container says, by every way that it can be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

import sounds
from glagol.core.errors import InputError
from glagol.speech import Options, Recognizer, Transcript, Word
from glagol.speech.audio.findings import Findings
from glagol.speech.audio.streaming import container
from speech.made import Samples
from speech.recordings import PICTURES, Make, recording

Opener = Callable[..., Recognizer]
NEAR_S = 0.15
PAUSE_AT_S, PAUSE_S, LATE_S = 4.5, 3.0, 2.0

FORMS = [
    *(("mp4", "aac", 44_100), ("mov", "aac", 48_000), ("matroska", "aac", 44_100)),
    *(("webm", "libopus", 48_000), ("mpegts", "mp2", 48_000), ("flv", "libmp3lame", 44_100)),
]
WHOLE = [
    *(("ogg", "libopus", 48_000), ("wav", "pcm_s16le", 16_000), ("caf", "alac", 44_100)),
    *(("mp3", "libmp3lame", 44_100), ("adts", "aac", 44_100)),
]


@cache
def clip(rate: int) -> Samples:
    """The bundled clip at another rate."""
    samples, old = sounds.samples()
    at = np.arange(0, len(samples) / old, 1 / rate)
    found = np.interp(at, np.arange(len(samples)) / old, samples)
    return np.asarray(found, np.float32)


def words(transcript: Transcript) -> list[Word]:
    """All words."""
    return [word for segment in transcript.segments for word in segment.words]


@pytest.fixture(scope="module")
def plain(recognizer: Opener) -> list[Word]:
    """The words of the clip as it is."""
    found = recognizer().transcribe(io.BytesIO(sounds.clip()), options=Options(short_audio_s=0.0))
    return words(found)


def compare(found: Transcript, plain: list[Word], shift: Callable[[float], float]) -> None:
    """The same words but for two, each where it should be."""
    spoken = words(found)
    texts = [word.text for word in plain]
    same = [
        (word.start, shift(plain[at].start))
        for at, word in enumerate(spoken[: len(plain)])
        if word.text == texts[at]
    ]
    assert len(spoken) == len(plain)
    assert len(same) >= len(plain) - 2
    assert max(abs(start - due) for start, due in same) <= NEAR_S


@pytest.mark.parametrize("form", WHOLE + FORMS, ids=lambda form: form[0])
def test_words_are_where_they_are_said(
    recognizer: Opener, plain: list[Word], form: tuple[str, str, int]
) -> None:
    """A late start and a pause move what is behind them; containers without clocks have neither."""
    stamped, rate = form in FORMS, form[2]
    late = LATE_S if stamped and form[0] in PICTURES else 0.0
    pause = (PAUSE_AT_S, PAUSE_S) if stamped else (0.0, 0.0)
    make = Make(*form, late_s=late, pause=pause, picture=late > 0)
    found = recognizer().transcribe(io.BytesIO(recording(make, clip(rate))))

    def shift(at: float) -> float:
        return at + late + (PAUSE_S if stamped and at >= PAUSE_AT_S else 0.0)

    compare(found, plain, shift)
    assert [notice.code for notice in found.warnings] == (["audio_gap"] if stamped else [])
    assert found.complete is not stamped


@pytest.mark.parametrize("form", [("webm", "libopus", 48_000), ("matroska", "libopus", 48_000)])
def test_a_live_stream_has_the_times_and_warnings_of_its_file(
    recognizer: Opener, form: tuple[str, str, int]
) -> None:
    """Gaps, damage and a late start, however the bytes arrive."""
    make = Make(*form, late_s=1.0, pause=(PAUSE_AT_S, PAUSE_S), lost=(8.0, 8.7))
    data = recording(make, clip(form[2]))
    offline = recognizer().transcribe(io.BytesIO(data), options=Options(short_audio_s=0.0))
    findings, running, file = Findings(), recognizer().live(), io.BytesIO(data)
    finals = [
        segment
        for block in container(lambda size: file.read(min(size, 777)), findings=findings)
        for segment in running.push(block)
    ]
    finals += running.finish()
    assert running.transcript(tuple(finals), None, findings.notices()) == offline
    assert [notice.code for notice in offline.warnings] == ["audio_gap", "audio_gap"]


def test_strict_refuses_by_the_code_of_the_first_notice(recognizer: Opener) -> None:
    """As soon as it is known: the rest is not transcribed."""
    data = recording(Make("mp4", "aac", 44_100, pause=(PAUSE_AT_S, PAUSE_S)), clip(44_100))
    steps = recognizer().steps(io.BytesIO(data), options=Options(strict=True))
    with pytest.raises(InputError, match=r"a gap of 3\.00 s at 4\.5") as refused:
        list(steps)
    assert refused.value.code == "audio_gap"
