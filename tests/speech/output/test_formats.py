"""Transcripts as JSON and subtitles."""

from __future__ import annotations

import json
from dataclasses import fields, replace

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
from glagol.speech.segmentation.segments import SegmentStream
from glagol.speech.types import (
    Coverage,
    Notice,
    Provenance,
    SearchedProvenance,
    SearchProvenance,
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


def test_a_search_is_listed_only_where_there_was_one() -> None:
    """Without one the provenance has the fields that it always had; with one it comes back."""
    assert "search" not in as_data(ONE)["provenance"]
    assert of_data(json.loads(as_json(ONE))) == ONE
    known = {each.name: getattr(PROVENANCE, each.name) for each in fields(PROVENANCE)}
    searched = SearchedProvenance(**known, search=SearchProvenance(1, "cropped", 5, 0.4))
    transcript = replace(ONE, provenance=searched)
    data = json.loads(as_json(transcript))
    assert data["provenance"]["search"] == {
        "rules": 1,
        "window": "cropped",
        "beam": 5,
        "temperature": 0.4,
        "task": "transcribe",
        "prompt_sha256": None,
    }
    assert of_data(data) == transcript


def test_words_without_spaces_are_joined_without_them() -> None:
    """In the segment, in JSON and back, and in subtitles, where lines count them as one space less.

    A line of 42 characters is full with them, and would not hold them with spaces.
    """
    signs = "今天天气很好我们去公园散步吧" * 3
    assert len(signs) == 42
    stream = SegmentStream()
    words = [Word(n * 0.05, n * 0.05 + 0.05, sign, 0.9, glued=True) for n, sign in enumerate(signs)]
    stream.push([*words, Word(2.3, 2.4, "GPS", 0.9), Word(2.4, 2.5, "。", 0.9, glued=True)])
    (found,) = stream.finish()
    assert found.text == f"{signs} GPS。"
    one = transcript(found)
    data = json.loads(as_json(one))
    assert data["segments"][0]["words"][1]["glued"] is True
    assert "glued" not in data["segments"][0]["words"][42]
    assert of_data(data) == one
    cues = as_srt(one).split("\n")
    assert cues[2] + cues[3] == f"{signs} GPS。"
    alone = replace(found, words=found.words[:42])
    assert as_srt(transcript(alone)).split("\n")[2:4] == [signs, ""]
