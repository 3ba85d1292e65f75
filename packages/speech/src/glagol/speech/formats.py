"""Transcripts as JSON, text, table and subtitles; equal transcripts give equal bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from glagol.speech.subtitles import cues

if TYPE_CHECKING:
    from glagol.speech.types import Transcript


def as_data(transcript: Transcript) -> dict[str, Any]:
    """The `data` object of the HTTP envelope; plain dicts, lists and numbers.

    Keys: text, segments [{start, end, text, words [{start, end, text, confidence}]}], duration,
    language, coverage {decoded, dropped}, provenance. Times in seconds with 3 digits.
    """
    return {
        "text": transcript.text,
        "segments": [
            {**asdict(segment), "words": [asdict(word) for word in segment.words]}
            for segment in transcript.segments
        ],
        "duration": transcript.duration_s,
        "language": transcript.language,
        "coverage": {
            "decoded": transcript.coverage.decoded_s,
            "dropped": transcript.coverage.dropped_s,
        },
        "provenance": asdict(transcript.provenance),
    }


def as_json(transcript: Transcript) -> bytes:
    """`as_data` as UTF-8 JSON on one line without spaces; stable key order, no newline."""
    return json.dumps(as_data(transcript), ensure_ascii=False, separators=(",", ":")).encode()


def as_text(transcript: Transcript) -> str:
    """The text alone, on one line without a newline."""
    return transcript.text


def as_tsv(transcript: Transcript) -> str:
    """A table: start_ms, end_ms and text of every segment, between tabs, under a line of names."""
    return "start_ms\tend_ms\ttext\n" + "".join(
        f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{segment.text}\n"
        for segment in transcript.segments
    )


def as_srt(transcript: Transcript) -> str:
    """SubRip subtitles."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(cues(transcript.segments), 1)
    )


def as_vtt(transcript: Transcript) -> str:
    """WebVTT subtitles (W3C), text escaped."""
    escape = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{cue.text.translate(escape)}\n\n"
        for cue in cues(transcript.segments)
    )


def _clock(seconds: float, point: str) -> str:
    """HH:MM:SS.mmm with the given decimal sign."""
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{milliseconds:03}"
