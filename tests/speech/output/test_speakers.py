"""Speakers in every form of a transcript, and the way back from JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glagol.core.errors import InputError
from glagol.speech.output.formats import (
    as_data,
    as_json,
    as_rttm,
    as_srt,
    as_text,
    as_tsv,
    as_vtt,
    of_data,
)
from glagol.speech.speakers.types import Diarization, DiarizationProvenance, Speaker, Spoken
from glagol.speech.types import Coverage, Provenance, Segment, Transcript, Word

PROVENANCE = Provenance(
    model="m",
    model_version="1",
    artifacts={},
    manifest_version=3,
    manifest_sha256="cd",
    variant="cpu-fp32",
    provider="cpu",
    onnxruntime="1.0",
    kernels_sha256=None,
    vad=None,
    chunk_plan_sha256="01",
    audio_sha256=None,
)
BY = DiarizationProvenance("speakers-m", "aa", "bb", 2.4975, 0.55, 1, None)
FOUND = Diarization(
    (Speaker("S1", 2.1, 2, 0.1, 0.7), Speaker("S2", 1.1, 1, 0.1, 0.6)),
    (Spoken(0.0, 1.1, "S1"), Spoken(1.0, 2.1, "S2"), Spoken(2.2, 3.2, "S1")),
    BY,
)


def said(start: float, text: str, who: str) -> Segment:
    return Segment(
        start, start + 1, text, (Word(start, start + 1, text, 0.5, speaker=who),), None, who
    )


SEGMENTS = (said(0.0, "раз", "S1"), said(1.0, "два", "S2"), said(2.2, "<три>", "S1"))
WHOLE = Transcript("раз два <три>", SEGMENTS, 3.5, "ru", Coverage(3.0, 0.5), PROVENANCE, (), FOUND)


def test_json_has_speakers_and_comes_back_whole() -> None:
    """Words, segments, speakers, turns, provenance; reading it gives the same transcript."""
    data = json.loads(as_json(WHOLE))
    assert [segment["speaker"] for segment in data["segments"]] == ["S1", "S2", "S1"]
    assert data["segments"][0]["words"][0]["speaker"] == "S1"
    assert data["speakers"][1] == {
        "id": "S2",
        "seconds": 1.1,
        "turns": 1,
        "overlap_seconds": 0.1,
        "confidence": 0.6,
    }
    assert data["turns"][1] == {"start": 1.0, "end": 2.1, "speaker": "S2"}
    assert data["provenance"]["diarization"]["threshold"] == 0.55
    assert of_data(data) == WHOLE


def test_without_speakers_there_is_no_trace() -> None:
    """The keys are those of before."""
    bare = [
        replace(s, speaker=None, words=tuple(replace(w, speaker=None) for w in s.words))
        for s in SEGMENTS
    ]
    plain = replace(WHOLE, diarization=None, segments=tuple(bare))
    assert "speaker" not in json.dumps(as_data(plain))
    assert "turns" not in as_data(plain)
    assert as_text(plain) == WHOLE.text
    assert as_tsv(plain).startswith("start_ms\tend_ms\ttext\n")


def test_texts_and_subtitles_name_the_speaker() -> None:
    """A line for each turn; a column; a mark; a voice."""
    assert as_text(WHOLE) == "S1: раз\nS2: два\nS1: <три>"
    assert as_tsv(WHOLE).splitlines()[:2] == [
        "start_ms\tend_ms\tspeaker\ttext",
        "0\t1000\tS1\tраз",
    ]
    assert "00:00:01,000 --> 00:00:02,000\nS2: два\n" in as_srt(WHOLE)
    assert "<v S1>&lt;три&gt;\n" in as_vtt(WHOLE)


def test_rttm_has_the_turns() -> None:
    """NIST's ten fields; overlapping turns are kept."""
    assert as_rttm(WHOLE).splitlines() == [
        "SPEAKER recording 1 0.000 1.100 <NA> <NA> S1 <NA> <NA>",
        "SPEAKER recording 1 1.000 1.100 <NA> <NA> S2 <NA> <NA>",
        "SPEAKER recording 1 2.200 1.000 <NA> <NA> S1 <NA> <NA>",
    ]


def test_rttm_of_channels_and_of_no_speaker() -> None:
    """Each channel is a speaker; a transcript that does not say who speaks has no RTTM."""
    lone = replace(SEGMENTS[1], channel=1, speaker=None)
    coverage = Coverage(6.0, 1.0, (Coverage(3.0, 0.5), Coverage(3.0, 0.5)))
    split = replace(WHOLE, diarization=None, segments=(lone,), coverage=coverage)
    assert as_rttm(split) == "SPEAKER recording 2 1.000 1.000 <NA> <NA> 1 <NA> <NA>\n"
    with pytest.raises(InputError) as caught:
        as_rttm(replace(WHOLE, diarization=None))
    assert caught.value.code == "option_invalid"
