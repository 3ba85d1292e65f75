"""Transcripts as JSON, plain text and subtitles; equal transcripts give equal bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from glagol.speech.types import Segment, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from glagol.speech.types import Transcript

LINE_CHARACTERS = 42
CUE_LINES = 2
CUE_SECONDS = 7.0
"""Two lines of 42 characters, at most 7 s: what broadcasters give a reader (Netflix, BBC)."""

CUE_SECONDS_MIN = 0.5
"""A cue stays at least this long if the next one leaves room."""


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


def cues(segments: Sequence[Segment]) -> list[Segment]:
    """Segments as subtitle cues: at most two lines of 42 characters and 7 s, no overlaps.

    Returns:
        Cues by rising time; the text of one has a line break where two lines are needed.
    """
    plain = [cue for segment in segments for cue in _split(segment)]
    shown = []
    for index, cue in enumerate(plain):
        room = plain[index + 1].start if index + 1 < len(plain) else cue.start + CUE_SECONDS_MIN
        end = max(cue.end, min(cue.start + CUE_SECONDS_MIN, room))
        shown.append(Segment(cue.start, round(end, 3), _lines(cue.text.split())))
    return shown


def _split(segment: Segment) -> Iterator[Segment]:
    """Fill cues word by word."""
    taken: list[Word] = []
    for word in _timed_words(segment):
        if taken and (
            word.end - taken[0].start > CUE_SECONDS
            or not _fits([*(w.text for w in taken), word.text])
        ):
            yield _cue(taken)
            taken = []
        taken.append(word)
    if taken:
        yield _cue(taken)


def _timed_words(segment: Segment) -> Iterable[Word]:
    """The segment's words; without times, the time is shared out by characters."""
    if segment.words:
        return segment.words
    pieces = segment.text.split()
    pace = (segment.end - segment.start) / max(1, sum(map(len, pieces)))
    words, at = [], segment.start
    for piece in pieces:
        end = at + pace * len(piece)
        words.append(Word(round(at, 3), round(end, 3), piece, 1.0))
        at = end
    return words


def _cue(words: Sequence[Word]) -> Segment:
    return Segment(words[0].start, words[-1].end, " ".join(word.text for word in words))


def _fits(words: Sequence[str]) -> bool:
    lines, length = 1, 0
    for word in words:
        longer = length + 1 + len(word) if length else len(word)
        if length and longer > LINE_CHARACTERS:
            lines, longer = lines + 1, len(word)
        length = longer
    return lines <= CUE_LINES


def _lines(words: Sequence[str]) -> str:
    """One line if it fits, else two of the most even length."""
    text = " ".join(words)
    if len(text) <= LINE_CHARACTERS or len(words) == 1:
        return text
    pairs = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
    return "\n".join(min(pairs, key=lambda pair: max(map(len, pair))))


def _clock(seconds: float, point: str) -> str:
    """HH:MM:SS.mmm with the given decimal sign."""
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{milliseconds:03}"
