"""The published weights on real sound; they are not in git, so this needs a built model."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from glagol.core.errors import HostError
from glagol.registry.registry import Registry
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.speakers import families
from glagol.speech.speakers.diarizer import Found
from glagol.speech.speakers.families import SpeakerModel
from glagol.speech.speakers.frames import Numbers
from glagol.speech.speakers.types import Bounds
from glagol.speech.types import SAMPLE_RATE, Options
from homes import ROOT
from sounds import samples, wav


@pytest.fixture(scope="module")
def real() -> Registry:
    """The repository's registry; skips the test where the model is not built."""
    given = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(ROOT, Path(given) if given else None)
    try:
        families.located(registry)
    except HostError:
        pytest.skip("needs the model of speakers: glagol models build speakers-campplus --fetch")
    return registry


@pytest.fixture(scope="module")
def model(real: Registry) -> SpeakerModel:
    """Both networks."""
    return families.opened(real)


@pytest.fixture(scope="module")
def two() -> Numbers:
    """Two voices in turns: the known-answer clip, and the same played faster."""
    first = samples()[0][: 2 * SAMPLE_RATE]
    at = np.arange(0, len(first) - 1, 1.45)
    second = np.interp(at, np.arange(len(first)), first).astype(np.float32)
    gap = np.zeros(SAMPLE_RATE // 2, np.float32)
    return np.concatenate([gap, first, gap, second, gap, first, gap, second, gap, first, gap])


ANY = Bounds()


def found(model: SpeakerModel, sound: Numbers, block: int, bounds: Bounds = ANY) -> Found:
    diarizer = model.begin()
    for start in range(0, len(sound), block):
        diarizer.push(sound[start : start + block])
    return diarizer.finish(bounds)


def test_blocks_do_not_matter_and_the_number_is_kept(model: SpeakerModel, two: Numbers) -> None:
    """The same turns however the samples are divided; as many people as were asked for.

    That real people are distinguished is `build/proof-speakers`: synthetic voices prove nothing.
    """
    first = found(model, two, len(two), Bounds(2, 2))
    assert first.people == 2
    assert {turn.person for turn in first.turns} == {0, 1}
    assert first.turns[0].person == 0
    assert found(model, two, 7_777, Bounds(2, 2)) == first
    assert found(model, two, SAMPLE_RATE, Bounds(1, 1)).people == 1


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.3, 1.0, 11.0])
def test_silence_and_noise_have_no_people(model: SpeakerModel, seconds: float) -> None:
    """Of any length, an empty recording included, and whatever number is asked for."""
    size = int(seconds * SAMPLE_RATE)
    sounds = [np.zeros(size, np.float32)]
    if seconds >= 1.0:  # the network norms its input: a blink of noise is loud to it
        sounds.append(1e-3 * np.random.default_rng(1).normal(size=size).astype(np.float32))
    for sound in sounds:
        assert found(model, sound, 16_000, Bounds(20, 20)) == Found((), 0, ())


def test_a_second_of_speech_is_one_person(model: SpeakerModel, two: Numbers) -> None:
    """Too little for a cluster by the usual rule."""
    assert found(model, two[SAMPLE_RATE : 2 * SAMPLE_RATE], 16_000).people == 1


def test_a_transcript_names_its_speakers(real: Registry, two: Numbers) -> None:
    """Words and segments have speakers, the same bytes twice; the text is that without."""
    recognizer = Recognizer.open(real)
    sound = wav(two, SAMPLE_RATE)
    plain = recognizer.transcribe(io.BytesIO(sound))
    options = Options(speakers=Bounds(2, 2))
    shown = recognizer.segments(io.BytesIO(sound), options=options)
    spoken = recognizer.transcribe(io.BytesIO(sound), options=options)
    assert list(shown) == list(spoken.segments)
    assert spoken.text == plain.text
    assert spoken.diarization is not None
    assert [speaker.id for speaker in spoken.diarization.speakers] == ["S1", "S2"]
    assert {word.speaker for segment in spoken.segments for word in segment.words} == {"S1", "S2"}
    assert spoken.diarization.provenance.model == "speakers-campplus"
