"""Transcripts as JSON and subtitles."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glagol.core.errors import InputError
from glagol.speech.output.formats import (
    as_data,
    as_json,
    as_srt,
    as_text,
    as_tsv,
    as_vtt,
    of_data,
)
from glagol.speech.output.notices import header, refuse
from glagol.speech.types import (
    Coverage,
    Notice,
    Provenance,
    Segment,
    Transcript,
    VadProvenance,
    Word,
)

PROVENANCE = Provenance(
    model="m",
    model_version="1",
    artifacts={"encoder.onnx": "ab"},
    manifest_version=3,
    manifest_sha256="cd",
    variant="cpu-fp32",
    provider="cpu",
    onnxruntime="1.0",
    kernels_sha256="23",
    vad=VadProvenance("v", {"v.onnx": "ef"}, {"threshold": 0.5}),
    chunk_plan_sha256="01",
    audio_sha256=None,
)


def transcript(*segments: Segment) -> Transcript:
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, segments, 9.0, "ru", Coverage(8.0, 1.0), PROVENANCE)


def segment(text: str, start: float, end: float) -> Segment:
    pieces = text.split()
    step = (end - start) / len(pieces)
    words = tuple(
        Word(round(start + i * step, 3), round(start + (i + 1) * step, 3), piece, 0.9)
        for i, piece in enumerate(pieces)
    )
    return Segment(start, end, text, words)


ONE = transcript(segment("привет, мир", 0.5, 1.25), Segment(3661.001, 3662.0, "a < b & c"))


def test_json_is_the_data_of_the_envelope() -> None:
    data = json.loads(as_json(ONE))
    assert data == as_data(ONE)
    assert list(data) == [
        *("text", "segments", "duration", "language", "coverage"),
        *("complete", "warnings", "provenance"),
    ]
    assert (data["complete"], data["warnings"]) == (True, [])
    assert data["segments"][0]["words"][0] == {
        "start": 0.5,
        "end": 0.875,
        "text": "привет,",
        "confidence": 0.9,
    }
    assert data["coverage"] == {"decoded": 8.0, "dropped": 1.0}
    assert data["provenance"]["vad"]["parameters"] == {"threshold": 0.5}
    assert "привет" in as_json(ONE).decode()
    assert b"\n" not in as_json(ONE)


def test_what_a_recording_lacks_survives_json_and_fits_a_header() -> None:
    """A gap makes it incomplete, silence does not; unknown seconds are left out of the header."""
    silent = Notice("silent", "the recording is silent")
    gap = Notice("audio_gap", "a gap of 4.86 s", 5.12, 4.864)
    lacking = replace(ONE, warnings=(gap, silent))
    data = json.loads(as_json(lacking))
    assert data["warnings"][0] == {
        "code": "audio_gap", "message": "a gap of 4.86 s", "at_s": 5.12, "missing_s": 4.864
    }  # fmt: skip
    assert of_data(data) == lacking
    assert (data["complete"], replace(ONE, warnings=(silent,)).complete) == (False, True)
    assert header(lacking.warnings) == {
        "glagol-warnings": "audio_gap;at=5.120;missing=4.864, silent"
    }
    assert header(()) == {}
    earlier = {name: value for name, value in data.items() if name not in ("warnings", "complete")}
    assert of_data(earlier) == ONE
    with pytest.raises(InputError) as refused:
        refuse(lacking.warnings)
    assert refused.value.code == "audio_gap"


def test_text_is_one_line() -> None:
    assert as_text(ONE) == "привет, мир a < b & c"


def test_srt_and_vtt_have_their_clocks() -> None:
    assert as_srt(ONE) == (
        "1\n00:00:00,500 --> 00:00:01,333\nпривет, мир\n\n"
        "2\n01:01:01,001 --> 01:01:02,000\na < b & c\n\n"
    )
    assert as_vtt(ONE) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.333\nпривет, мир\n\n"
        "01:01:01.001 --> 01:01:02.000\na &lt; b &amp; c\n\n"
    )


def test_no_segments_no_cues() -> None:
    assert as_srt(transcript()) == ""
    assert as_vtt(transcript()) == "WEBVTT\n\n"


def test_tsv_counts_milliseconds() -> None:
    assert as_tsv(ONE) == (
        "start_ms\tend_ms\ttext\n500\t1250\tпривет, мир\n3661001\t3662000\ta < b & c\n"
    )
