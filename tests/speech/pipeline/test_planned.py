"""Cut, recognise and join apart: the transcript of a run in one piece, to the byte."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from glagol.core.errors import InputError
from glagol.speech import Options, Recognizer
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import Hypothesis
from glagol.speech.output.formats import as_json
from glagol.speech.pipeline.options import granted, request_of
from glagol.speech.pipeline.planned import Cutting, Plan, Window, joined, windows
from sounds import samples
from speech import made

Opener = Callable[..., Recognizer]
RATE = 16_000
SHA256 = "ab" * 32


def minutes(seed: int, seconds: float) -> made.Samples:
    """Speech of the bundled clip with pauses of many lengths, float32 [n] at 16 kHz."""
    random = np.random.default_rng(seed)
    clip, rate = samples()
    if rate != RATE:
        pytest.skip("the bundled clip is not there")
    parts: list[made.Samples] = []
    while sum(map(len, parts)) < seconds * RATE:
        parts += [clip, np.zeros(round(RATE * random.uniform(0.0, 3.0)), np.float32)]
    return np.concatenate(parts)[: round(seconds * RATE)]


def planned(recognizer: Recognizer, data: bytes, options: Options) -> bytes:
    """As the archive does it: every window alone and the last one first."""
    options = granted(options, recognizer.model.id, recognizer.engine.traits)
    cutting = Cutting(
        recognizer.vad, recognizer.rule, recognizer.engine.traits, recognizer.speakers
    )
    split = options.channel == "split"
    source = decode(io.BytesIO(data), max_seconds=options.max_audio_s, split=split)
    found: list[Window] = []
    cutter = windows(cutting, source, options)
    while True:
        try:
            found.append(next(cutter))
        except StopIteration as end:
            plan: Plan = end.value
            break
    request = recognizer.engine.begin(request_of(options)).independent
    assert request is not None
    recognised: dict[int, Hypothesis] = {}
    for number in reversed(range(len(found))):
        recognised[number] = recognizer.engine.begin(request).transcribe(found[number].samples)
    hypotheses = [
        [recognised[n] for n, window in enumerate(found) if window.channel == channel]
        for channel in range(len(plan.cuts))
    ]
    known = recognizer.provenance
    return as_json(joined(plan, hypotheses, recognizer.rule, options, known, SHA256))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_it_is_the_transcript_of_one_piece(recognizer: Opener, head: str) -> None:
    """Long, short, split, silent and without words: the bytes are equal."""
    opened = recognizer(head)
    long, other = minutes(1, 75.0), minutes(2, 75.0)
    cases = {
        "long": (long, Options()),
        "pauses": (long[: 40 * RATE], Options(pause_s=0.3, word_timestamps=False)),
        "short": (long[: 9 * RATE], Options()),
        "split": (np.stack([long, other], 1)[: 45 * RATE], Options(channel="split")),
        "silent": (np.zeros(40 * RATE, np.float32), Options()),
    }
    for name, (sound, options) in cases.items():
        data = made.wav(sound, RATE)
        whole = opened.transcribe(io.BytesIO(data), options=options, audio_sha256=SHA256)
        assert (not whole.text) == (name == "silent")
        assert planned(opened, data, options) == as_json(whole), name


def test_what_a_recording_lacks_is_said_the_same(recognizer: Opener) -> None:
    """A file that ends in the middle warns alike, and is refused alike."""
    opened = recognizer()
    data = made.wav(minutes(3, 40.0), RATE)[: -10 * RATE]
    whole = opened.transcribe(io.BytesIO(data), audio_sha256=SHA256)
    assert whole.warnings
    assert planned(opened, data, Options()) == as_json(whole)
    with pytest.raises(InputError) as refused:
        planned(opened, data, Options(strict=True))
    assert refused.value.code == whole.warnings[0].code


def test_a_language_that_is_asked_for_makes_windows_independent(recognizer: Opener) -> None:
    """The request of fresh decodings carries it."""
    engine = recognizer().engine
    request = request_of(replace(Options(), language="ru"))
    assert engine.begin(request).independent == request
