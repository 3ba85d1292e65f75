"""Channels kept apart: each recognised as if it were alone, merged into one dialogue."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glagol.core.errors import InputError
from glagol.speech import Options, Recognizer, Segment, Transcript
from glagol.speech.audio.decode import CHANNELS_MAX, decode
from glagol.speech.output.formats import as_data, as_json, as_srt, as_text, as_tsv, as_vtt, of_data
from glagol.speech.pipeline.channels import DialogueMerger
from glagol.speech.segmentation.segments import SegmentStream
from glagol.speech.types import Coverage, Word
from speech import made
from speech.output.test_formats import PROVENANCE

Opener = Callable[..., Recognizer]
RATE = 22_050
MIX, SPLIT = Options(), Options(channel="split")
ALONE = Options(short_audio_s=0.0)  # as every channel of several: always searched for speech
SENTENCES = (
    "на повестке у нас двадцать семь вопросов",
    "я согласен но сначала надо обновить график",
    "завтра в десять часов будет новая встреча",
    "она открыла окно и посмотрела на улицу",
)


def voice(order: list[int], pauses: list[float], seconds: float) -> made.Samples:
    """Sentences, each after a pause, in a recording of a fixed length, float32 [n]."""
    parts = [
        np.pad(made.spoken(SENTENCES[which]), (round(pause * RATE), 0))
        for which, pause in zip(order, pauses, strict=True)
    ]
    samples = np.concatenate([*parts, np.zeros(0, np.float32)])[: round(seconds * RATE)]
    return np.pad(samples, (0, round(seconds * RATE) - len(samples)))


def transcribed(recognizer: Recognizer, data: bytes, options: Options = MIX) -> Transcript:
    return recognizer.transcribe(io.BytesIO(data), options=options)


def of(channel: int, segments: tuple[Segment, ...]) -> list[Segment]:
    return [replace(s, channel=None) for s in segments if s.channel == channel]


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    turns=st.lists(
        st.tuples(st.integers(0, 3), st.floats(0.1, 6.0), st.integers(0, 3), st.floats(0.1, 6.0)),
        min_size=1,
        max_size=5,
    ),
    seconds=st.sampled_from([12.0, 40.0]),
)
def test_each_channel_is_recognised_as_if_it_were_alone(
    recognizer: Opener, turns: list[tuple[int, float, int, float]], seconds: float
) -> None:
    one = voice([turn[0] for turn in turns], [turn[1] for turn in turns], seconds)
    two = voice([turn[2] for turn in turns], [turn[3] for turn in turns], seconds)
    both = transcribed(recognizer(), made.wav(np.stack([one, two], axis=1), RATE), SPLIT)
    alone = [transcribed(recognizer(), made.wav(samples, RATE), ALONE) for samples in (one, two)]

    assert [of(channel, both.segments) for channel in (0, 1)] == [list(a.segments) for a in alone]
    order = [(segment.start, segment.channel) for segment in both.segments]
    assert order == sorted(order)
    assert both.text == " ".join(segment.text for segment in both.segments)
    assert list(both.coverage.channels) == [a.coverage for a in alone]
    total = both.coverage.decoded_s + both.coverage.dropped_s
    assert total == pytest.approx(2 * both.duration_s, abs=0.005)


def test_a_file_with_one_channel_has_channel_0(recognizer: Opener) -> None:
    data = made.wav(voice([0], [0.3], 5.0), RATE)
    split, mixed = transcribed(recognizer(), data, SPLIT), transcribed(recognizer(), data, ALONE)
    assert split.text == mixed.text
    assert [segment.channel for segment in split.segments] == [0] * len(mixed.segments)
    assert split.coverage.channels == (mixed.coverage,)


def test_a_mixed_transcript_has_no_trace_of_channels(recognizer: Opener) -> None:
    data = made.wav(np.stack([voice([0], [0.3], 5.0)] * 2, axis=1), RATE)
    text = as_json(transcribed(recognizer(), data)).decode()
    assert "channel" not in text
    assert transcribed(recognizer(), data).segments


def test_one_decoding_gives_all_channels_bit_for_bit() -> None:
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, (44_100, CHANNELS_MAX)).astype(np.float32)
    blocks = list(decode(io.BytesIO(made.wav(noise, 44_100)), max_seconds=9, split=True))
    together = np.concatenate(blocks)
    for channel in range(CHANNELS_MAX):
        file = io.BytesIO(made.wav(noise[:, channel], 44_100))
        alone = np.concatenate(list(decode(file, max_seconds=9)))
        assert np.array_equal(together[:, channel], alone)


def test_too_many_channels_are_refused_before_anything_is_decoded() -> None:
    data = made.wav(np.zeros((16_000, CHANNELS_MAX + 1), np.float32))
    with pytest.raises(InputError, match="9 channels") as caught:
        decode(io.BytesIO(data), max_seconds=9, split=True)
    assert caught.value.code == "option_invalid"
    assert len(np.concatenate(list(decode(io.BytesIO(data), max_seconds=9)))) == 16_000


SPOKEN = st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.05, 1.0)), max_size=40)


def words_at(pairs: list[tuple[float, float]]) -> list[Word]:
    words, at = [], 0.0
    for pause, length in pairs:
        start = at + pause
        at = start + length
        words.append(Word(start, at, "да", 1.0))
    return words


@given(SPOKEN, st.data())
def test_an_early_end_of_a_segment_is_its_end(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    words = words_at(pairs)
    late, early = SegmentStream(), SegmentStream()
    expected = [*late.push(words), *late.finish()]
    found = []
    for index, word in enumerate(words):
        found += early.push([word])
        limit = words[index + 1].start if index + 1 < len(words) else word.end + 9
        found += early.settle(data.draw(st.floats(word.end, limit)))
    assert [*found, *early.finish()] == expected


@given(st.lists(SPOKEN, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_turns_come_in_order_and_none_is_lost(
    channels: list[list[tuple[float, float]]], chance: random.Random
) -> None:
    streams = [SegmentStream() for _ in channels]
    waiting = [words_at(pairs) for pairs in channels]
    turns, found, all_of_them = DialogueMerger(), [], []

    def give(channel: int, segments: list[Segment]) -> None:
        named = [replace(segment, channel=channel) for segment in segments]
        all_of_them.extend(named)
        found.extend(turns.push(named, [stream.frontier for stream in streams]))

    while any(waiting):
        channel = chance.choice([c for c, words in enumerate(waiting) if words])
        give(channel, streams[channel].push([waiting[channel].pop(0)]))
    for channel, stream in enumerate(streams):
        give(channel, stream.finish())
    found.extend(turns.finish())
    assert found == sorted(all_of_them, key=lambda s: (s.start, s.channel))


DIALOGUE = Transcript(
    "алло да <слушаю> здравствуйте",
    (
        Segment(0.0, 1.0, "алло", (Word(0.0, 1.0, "алло", 0.9),), 0),
        Segment(0.5, 2.0, "да", (), 1),
        Segment(2.0, 3.0, "<слушаю>", (), 1),
        Segment(2.5, 4.0, "здравствуйте", (), 0),
    ),
    4.0,
    "ru",
    Coverage(7.0, 1.0, (Coverage(3.5, 0.5), Coverage(3.5, 0.5))),
    PROVENANCE,
)


def test_every_format_names_the_speaker() -> None:
    data = as_data(DIALOGUE)
    assert [segment["channel"] for segment in data["segments"]] == [0, 1, 1, 0]
    assert data["coverage"]["channels"] == [{"decoded": 3.5, "dropped": 0.5}] * 2
    assert as_text(DIALOGUE) == "[0] алло\n[1] да <слушаю>\n[0] здравствуйте"
    assert as_tsv(DIALOGUE).splitlines()[:2] == [
        "start_ms\tend_ms\tchannel\ttext",
        "0\t1000\t0\tалло",
    ]
    assert as_srt(DIALOGUE).split("\n\n")[1] == (
        "2\n00:00:00,500 --> 00:00:02,000\n[1] да"
    )  # at the same time as the first: they interrupt each other
    assert "\n<v 1>&lt;слушаю&gt;\n" in as_vtt(DIALOGUE)


def test_a_transcript_comes_back_from_its_json() -> None:
    assert of_data(json.loads(as_json(DIALOGUE))) == DIALOGUE
    mixed = replace(DIALOGUE, coverage=Coverage(4.0, 0.0), segments=())
    assert of_data(json.loads(as_json(mixed))) == mixed


def test_a_stored_result_of_an_earlier_version_is_read() -> None:
    """A job outlives an upgrade, and it never knew which kernels made it."""
    data = json.loads(as_json(DIALOGUE))
    del data["provenance"]["kernels_sha256"]
    assert of_data(data).provenance.kernels_sha256 is None
    assert of_data(data).text == DIALOGUE.text


def test_subtitle_lines_leave_room_for_the_speaker() -> None:
    text = " ".join(["слово"] * 40)
    segments = (Segment(0.0, 20.0, text, (), 7),)
    coverage = Coverage(8.0, 0.0, (Coverage(1.0, 0.0),) * 8)
    long = Transcript(text, segments, 20.0, "ru", coverage, PROVENANCE)
    lines = [line for cue in as_srt(long).split("\n\n") for line in cue.split("\n")[2:]]
    assert max(map(len, lines)) <= 42
    assert " ".join(line.removeprefix("[7] ") for line in lines).split() == text.split()
    assert "[7]" not in as_vtt(long)
