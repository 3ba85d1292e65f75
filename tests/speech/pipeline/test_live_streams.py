"""Audio that is still being spoken has the segments that it has as a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from glagol.core.errors import HostError, InputError
from glagol.runtime.session import Interrupt
from glagol.speech import Options, Recognizer, Segment, Transcript
from glagol.speech.audio.streaming import container, pcm
from glagol.speech.types import SAMPLE_RATE, Array
from speech import made

Opener = Callable[..., Recognizer]
RATE = 22_050
WHOLE = Options(short_audio_s=0.0)
TEXTS = (
    "на повестке у нас двадцать семь вопросов",
    "я согласен но сначала надо обновить график",
    "завтра в десять часов будет новая встреча",
)


def speech(pause: float, repeats: int = 2) -> made.Samples:
    """Sentences with pauses before, between and after, float32 [n]."""
    gap = np.zeros(round(pause * RATE), np.float32)
    return np.concatenate([gap, *(p for t in TEXTS for p in (made.spoken(t), gap))] * repeats)


def reader(data: bytes, sizes: Iterator[int]) -> Callable[[int], bytes]:
    """Gives `data` in pieces of these sizes."""
    file = io.BytesIO(data)
    return lambda most: file.read(min(most, next(sizes)))


def offline(recognizer: Recognizer, data: bytes) -> Transcript:
    return recognizer.transcribe(io.BytesIO(data), options=WHOLE, audio_sha256="ab")


def live(recognizer: Recognizer, blocks: Iterator[Array], *, guess: bool = False) -> Transcript:
    """Everything pushed; with guesses, what they say is looked at between blocks."""
    found: list[Any] = []
    running = recognizer.live()
    for block in blocks:
        found += running.push(block)
        unfinished = running.open() if guess else None
        if unfinished is not None:
            unfinished.segment(recognizer.words(unfinished.samples, unfinished.start))
    found += running.finish()
    return running.transcript(tuple(found), "ab")


@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.sampled_from([0.25, 1.8]), st.lists(st.integers(501, 60_000), min_size=1, max_size=9))
def test_any_division_of_the_bytes_gives_the_transcript_of_the_file(
    recognizer: Opener, pause: float, sizes: list[int]
) -> None:
    file = made.wav(speech(pause, 3), RATE)
    raw = file[44:]
    found = live(recognizer(), pcm(reader(raw, cycle(sizes)), rate=RATE, channels=1))
    assert found == offline(recognizer(), file)
    assert len(found.segments) > 1


@pytest.mark.parametrize("pause_s", [0.4, 0.6, 1.0])
def test_a_chosen_pause_ends_a_segment_in_time(recognizer: Opener, pause_s: float) -> None:
    """A final needs no more sound than the pause, a block and what voice detection lags behind."""
    options = Options(short_audio_s=0.0, pause_s=pause_s)
    times = np.arange(0, 30, 1 / SAMPLE_RATE)
    padded = np.pad(speech(1.2), (0, 30 * RATE))
    sound = np.interp(times, np.arange(len(padded)) / RATE, padded).astype(np.float32)
    running, found, lags = recognizer().live(options=options), [], []
    for start in range(0, len(sound), 1600):
        for segment in running.push(sound[start : start + 1600]):
            found.append(segment)
            lags.append((start + 1600) / SAMPLE_RATE - segment.end)
    found += running.finish()
    assert len(found) > 3
    assert max(lags) < pause_s + 0.6
    file = recognizer().transcribe(io.BytesIO(made.float_wav(sound)), options=options)
    assert file.segments == tuple(found)


@pytest.mark.parametrize("pause_s", [0.1, 9.0, float("nan")])
def test_a_pause_out_of_range_is_refused(recognizer: Opener, pause_s: float) -> None:
    with pytest.raises(InputError, match="cannot end a segment"):
        recognizer().live(options=Options(pause_s=pause_s))


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_rates_and_channels_are_those_of_the_file(recognizer: Opener, rate: int) -> None:
    mono = np.interp(np.arange(0, 9, 1 / rate), np.arange(9 * RATE) / RATE, speech(0.3)[: 9 * RATE])
    two = np.stack([mono, 0.5 * mono], axis=1).astype(np.float32)
    file = made.wav(two, rate)
    found = live(recognizer(), pcm(io.BytesIO(file[44:]).read, rate=rate, channels=2))
    assert found == offline(recognizer(), file)
    assert found.segments


@pytest.mark.parametrize(("form", "codec"), [("ogg", "libopus"), ("webm", "libopus")])
@pytest.mark.parametrize("size", [77, 100_000])
def test_a_container_is_read_while_it_arrives(
    recognizer: Opener, form: str, codec: str, size: int
) -> None:
    sound = np.interp(
        np.arange(0, 12, 1 / 48_000), np.arange(12 * RATE) / RATE, speech(0.3)[: 12 * RATE]
    )
    file = made.encoded(sound.astype(np.float32), 48_000, form, codec)
    found = live(recognizer(), container(reader(file, iter(lambda: size, None))))
    assert found == offline(recognizer(), file)
    assert found.text


def test_what_is_no_container_is_refused() -> None:
    for data in (b"", b"OggS", b"nonsense" * 9_000, made.wav(made.tone(1.0))):
        with pytest.raises(InputError) as caught:
            list(container(io.BytesIO(data).read))
        assert caught.value.code == "audio_unreadable"


def test_the_error_of_the_reader_comes_through() -> None:
    file = io.BytesIO(made.encoded(made.tone(2.0, 48_000), 48_000, "ogg", "libopus"))

    def read(size: int) -> bytes:
        data = file.read(min(size, 300))
        if file.tell() > 3_000:
            raise HostError("cancelled", "the client left", "send it again")
        return data

    with pytest.raises(HostError, match="the client left"):
        list(container(read))


def test_guesses_change_nothing_and_say_what_is_spoken(recognizer: Opener) -> None:
    raw = made.wav(speech(0.25, 1), RATE)[44:]

    def blocks() -> Iterator[Array]:
        return pcm(reader(raw, iter(lambda: 9_000, None)), rate=RATE, channels=1)

    plain = live(recognizer(), blocks())
    assert live(recognizer(), blocks(), guess=True) == plain
    running = recognizer().live()
    partials: list[Segment] = []
    for block in blocks():
        assert not list(running.push(block))  # no pause is long enough for a final
        unfinished = running.open()
        guess = unfinished and unfinished.segment(
            recognizer().words(unfinished.samples, unfinished.start)
        )
        partials += [guess] if guess else []
    assert len({guess.text for guess in partials}) > 5
    assert plain.text.split()[:4] == partials[-1].text.split()[:4]


def test_a_final_comes_soon_after_the_pause_that_ends_it(recognizer: Opener) -> None:
    """Two seconds of silence are enough: nothing waits for the next sentence."""
    running = recognizer().live()
    spoken = made.spoken(TEXTS[0])
    wave = np.interp(
        np.arange(0, len(spoken) / RATE, 1 / SAMPLE_RATE), np.arange(len(spoken)) / RATE, spoken
    )
    assert not list(running.push(wave.astype(np.float32)))
    assert len(list(running.push(np.zeros(2 * SAMPLE_RATE + 4_000, np.float32)))) == 1
    assert running.open() is None  # silence: nothing to guess


def test_a_call_can_be_interrupted(recognizer: Opener) -> None:
    stop = Interrupt()
    stop.set()
    with pytest.raises(HostError) as caught:
        recognizer().words(np.full(16_000, 0.1, np.float32), 0, stop)
    assert caught.value.code == "cancelled"
    assert stop.is_set()
    assert recognizer().words(np.full(16_000, 0.1, np.float32), 0, Interrupt()) == []
