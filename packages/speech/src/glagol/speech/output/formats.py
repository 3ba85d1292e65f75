"""Transcripts as JSON, text, table and subtitles; equal transcripts give equal bytes.

Where the channels were split every format names the speaker by the number of the channel: 0 is the
first. Where speakers were asked for, it is by their ids: S1 is the first to speak. Otherwise no
format mentions either.

`FORMATS` is the one list of the formats. The command's choices, file extensions, media types, the
options and the OpenAPI document of the server and OpenAI's route are derived from it: a new format
is a writer and a row. Importing this module loads neither numpy nor msgspec.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from glagol.speech.output.html import as_html
from glagol.speech.output.paragraphs import as_docx, as_markdown, as_plain
from glagol.speech.output.provenance import (
    diarization_of,
    phrases_of,
    provenance_data,
    provenance_of,
    writing_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glagol.speech.types import Coverage, Segment, Transcript, Word

__all__ = [
    "FORMATS",
    "JSON",
    "Format",
    "as_data",
    "as_json",
    "as_rttm",
    "as_srt",
    "as_text",
    "as_tsv",
    "as_vtt",
    "of_data",
    "segment_data",
]


def as_data(transcript: Transcript) -> dict[str, Any]:
    """The `data` object of the HTTP envelope; plain dicts, lists and numbers.

    Keys: text, segments [{start, end, text, words [{start, end, text, confidence}]}], duration,
    language, coverage {decoded, dropped}, complete (no sound is known to be missing), warnings
    [{code, message, at_s, missing_s}], provenance. Times in seconds with 3 digits. With split
    channels segments have `channel` and coverage has `channels [{decoded, dropped}]`. With speakers
    segments and words have `speaker`, and there are `speakers [{id, seconds, turns,
    overlap_seconds, confidence}]`, `turns [{start, end, speaker}]` and `diarization` in provenance.
    With phrases there are `phrases {used [text], refused [{text, code, message, remedy}]}`, and
    `phrases {sha256, rules}` in provenance.
    With numbers in digits those words have `spoken`, and there is `writing` in provenance.
    """
    data: dict[str, Any] = {
        "text": transcript.text,
        "segments": [segment_data(segment) for segment in transcript.segments],
        "duration": transcript.duration_s,
        "language": transcript.language,
        "coverage": _coverage(transcript.coverage),
        "complete": transcript.complete,
        "warnings": [asdict(notice) for notice in transcript.warnings],
        "provenance": provenance_data(transcript),
    }
    people = transcript.diarization
    if people is not None:
        data["speakers"] = [asdict(speaker) for speaker in people.speakers]
        data["turns"] = [asdict(turn) for turn in people.turns]
    phrases = transcript.phrases
    if phrases is not None:
        refused = [asdict(refusal) for refusal in phrases.refused]
        data["phrases"] = {"used": list(phrases.used), "refused": refused}
    return data


def of_data(data: Mapping[str, Any]) -> Transcript:
    """The transcript that `as_data` made `data` of, once it went through JSON.

    Raises:
        KeyError, TypeError, msgspec.ValidationError: `data` is something else.
    """
    import msgspec

    from glagol.speech.types import Notice, Segment, Transcript

    return Transcript(
        text=data["text"],
        segments=msgspec.convert(data["segments"], tuple[Segment, ...]),
        duration_s=data["duration"],
        language=data["language"],
        coverage=_coverage_of(data["coverage"]),
        provenance=provenance_of(data["provenance"]),
        warnings=msgspec.convert(data.get("warnings", ()), tuple[Notice, ...]),
        diarization=diarization_of(data),
        phrases=phrases_of(data),
        writing=writing_of(data["provenance"]),
    )


def segment_data(segment: Segment) -> dict[str, Any]:
    """One segment as `as_data` has it."""
    data: dict[str, Any] = {
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "words": [_word(word) for word in segment.words],
    }
    who = {"channel": segment.channel, "speaker": segment.speaker}
    return data | {name: value for name, value in who.items() if value is not None}


def as_json(transcript: Transcript) -> bytes:
    """`as_data` as UTF-8 JSON on one line without spaces; stable key order, no newline."""
    return json.dumps(as_data(transcript), ensure_ascii=False, separators=(",", ":")).encode()


def as_text(transcript: Transcript) -> str:
    """The text alone, on one line without a newline; with channels or speakers a line each turn."""
    if not _column(transcript):
        return transcript.text
    turns = groupby(transcript.segments, key=lambda segment: _mark(transcript, segment))
    return "\n".join(
        " ".join([mark, *(segment.text for segment in turn)]).strip() for mark, turn in turns
    )


def as_tsv(transcript: Transcript) -> str:
    """A table: start_ms, end_ms and text of every segment, between tabs, under a line of names.

    With split channels there is a column `channel` before the text, with speakers one `speaker`.
    """
    column = _column(transcript)
    rows = [f"start_ms\tend_ms\t{column}\ttext" if column else "start_ms\tend_ms\ttext"]
    for segment in transcript.segments:
        times = [str(round(segment.start * 1000)), str(round(segment.end * 1000))]
        who = [transcript.speaker_of(segment) or ""] if column else []
        rows.append("\t".join([*times, *who, segment.text]))
    return "".join(f"{row}\n" for row in rows)


def as_srt(transcript: Transcript) -> str:
    """SubRip subtitles; a cue begins with its channel, `[0]`, or its speaker, `S1:`."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(_cues(transcript), 1)
    )


def as_vtt(transcript: Transcript) -> str:
    """WebVTT subtitles (W3C), text escaped; who speaks is the voice of a cue, `<v 0>`."""
    escape = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    blocks = ["WEBVTT\n\n"]
    for cue in _cues(transcript):
        text, voice = cue.text, ""
        speaker = transcript.speaker_of(cue)
        if speaker is not None:
            text = text.removeprefix(_mark(transcript, cue)).lstrip()
            voice = f"<v {speaker.translate(escape)}>"
        times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
        blocks.append(f"{times}\n{voice}{text.translate(escape)}\n\n")
    return "".join(blocks)


def _cues(transcript: Transcript) -> list[Segment]:
    """Cues by rising start; speakers who interrupt each other have cues at the same time."""
    from glagol.speech.output.subtitles import cues

    if not _column(transcript):
        return cues(transcript.segments)
    voices = dict.fromkeys(
        (s.channel, s.speaker) for s in sorted(transcript.segments, key=lambda s: s.channel or 0)
    )
    found = []
    for channel, speaker in voices:
        mine = [s for s in transcript.segments if (s.channel, s.speaker) == (channel, speaker)]
        found += [
            replace(cue, channel=channel, speaker=speaker)
            for cue in cues(mine, mark=_mark(transcript, mine[0]))
        ]
    return sorted(found, key=lambda cue: cue.start)


def as_rttm(transcript: Transcript) -> str:
    """Turns as NIST's RTTM, a line each; with split channels the segments are the turns.

    Raises:
        InputError: `option_invalid`, the transcript does not say who speaks.
    """
    people = transcript.diarization
    if people is None and not transcript.coverage.channels:
        from glagol.core.errors import InputError

        raise InputError(
            "option_invalid",
            "rttm says who speaks when, which was not asked for",
            "add diarize=true, or channel=split where each speaker has a channel",
        )
    rows = [(1, turn.start, turn.end, turn.speaker) for turn in people.turns] if people else []
    for segment in transcript.segments if people is None else ():
        channel = segment.channel or 0
        rows.append((channel + 1, segment.start, segment.end, str(channel)))
    return "".join(
        f"SPEAKER recording {channel} {start:.3f} {end - start:.3f} <NA> <NA> {name} <NA> <NA>\n"
        for channel, start, end, name in rows
    )


def _column(transcript: Transcript) -> str:
    """What tells speakers apart: "channel", "speaker", or nothing."""
    if transcript.coverage.channels:
        return "channel"
    return "" if transcript.diarization is None else "speaker"


def _mark(transcript: Transcript, segment: Segment) -> str:
    """How a line of text begins that says who speaks."""
    speaker = transcript.speaker_of(segment)
    if speaker is None:
        return ""
    return f"[{speaker}]" if segment.channel is not None else f"{speaker}:"


def _word(word: Word) -> dict[str, Any]:
    data = asdict(word)
    if not word.glued:
        del data["glued"]
    for name in ("speaker", "spoken"):
        if data[name] is None:
            del data[name]
    return data


def _coverage_of(data: Mapping[str, Any]) -> Coverage:
    from glagol.speech.types import Coverage

    channels = tuple(_coverage_of(channel) for channel in data.get("channels", ()))
    return Coverage(data["decoded"], data["dropped"], channels)


def _coverage(coverage: Coverage) -> dict[str, Any]:
    data: dict[str, Any] = {"decoded": coverage.decoded_s, "dropped": coverage.dropped_s}
    if coverage.channels:
        data["channels"] = [_coverage(channel) for channel in coverage.channels]
    return data


def _clock(seconds: float, point: str) -> str:
    """HH:MM:SS.mmm with the given decimal sign."""
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{milliseconds:03}"


@dataclass(frozen=True, slots=True)
class Format:
    """One format of transcripts.

    Attributes:
        name: As the command and the server's option `format` know it.
        write: The bytes of a file or an answer.
        media_type: Of an answer; with the charset where it is text.
        extension: Of a file, with its dot.
        joinable: Whether transcripts, or a summary, can follow each other in one stream. Only such
            a format is streamed, written to standard output for several files, and summarised.
        openai: Whether OpenAI's route has it, under the same name.
        write_timed: As `write`, with the time of each paragraph; None where times are always there
            or have no place.
    """

    name: str
    write: Callable[[Transcript], bytes]
    media_type: str
    extension: str
    joinable: bool = False
    openai: bool = False
    write_timed: Callable[[Transcript], bytes] | None = None


JSON: Final = "json"
"""Name of the format that is data: servers put an envelope around it, the command adds to it."""

FORMATS: Final[dict[str, Format]] = {
    row.name: row
    for row in (
        Format(JSON, as_json, "application/json", ".json", joinable=True, openai=True),
        Format(
            "text",
            lambda transcript: f"{as_text(transcript)}\n".encode(),
            "text/plain; charset=utf-8",
            ".txt",
            joinable=True,
            openai=True,
        ),
        Format(
            "tsv",
            lambda transcript: as_tsv(transcript).encode(),
            "text/tab-separated-values; charset=utf-8",
            ".tsv",
        ),
        Format(
            "srt",
            lambda transcript: as_srt(transcript).encode(),
            "application/x-subrip; charset=utf-8",
            ".srt",
            openai=True,
        ),
        Format(
            "vtt",
            lambda transcript: as_vtt(transcript).encode(),
            "text/vtt; charset=utf-8",
            ".vtt",
            openai=True,
        ),
        Format(
            "txt",
            lambda transcript: as_plain(transcript).encode(),
            "text/plain; charset=utf-8",
            ".txt",
            write_timed=lambda transcript: as_plain(transcript, times=True).encode(),
        ),
        Format(
            "md",
            lambda transcript: as_markdown(transcript).encode(),
            "text/markdown; charset=utf-8",
            ".md",
            write_timed=lambda transcript: as_markdown(transcript, times=True).encode(),
        ),
        Format(
            "docx",
            as_docx,
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ".docx",
            write_timed=lambda transcript: as_docx(transcript, times=True),
        ),
        Format(
            "html",
            lambda transcript: as_html(transcript).encode(),
            "text/html; charset=utf-8",
            ".html",
            write_timed=lambda transcript: as_html(transcript, times=True).encode(),
        ),
        Format(
            "rttm",
            lambda transcript: as_rttm(transcript).encode(),
            "text/plain; charset=utf-8",
            ".rttm",
        ),
    )
}
"""By name, in the order in which callers see them; the first is the server's default."""
