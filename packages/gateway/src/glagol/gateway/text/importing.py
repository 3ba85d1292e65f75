"""Texts that were made elsewhere: SubRip subtitles, or the JSON of a transcription."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["result_of"]

_CLOCK: Final = r"(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})"
_TIMES: Final = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}")
_TAG: Final = re.compile(r"<[^>]{0,100}>|\{\\[^}]{0,100}\}")
_SPEAKER: Final = re.compile(r"\[(\d{1,2})\]\s+")
_CUES_MAX: Final = 200_000


def result_of(body: bytes) -> bytes:
    """The `data` object of a transcription that says the same as `body`.

    Args:
        body: SubRip, or the JSON of a transcription with or without its envelope; UTF-8, and
            SubRip also Windows-1251.

    Raises:
        InputError: `import_invalid`.
    """
    if body.lstrip()[:1] == b"{":
        return _data(body)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1251", errors="replace")
    segments = list(_cues(text))
    if not segments:
        raise _invalid("it holds no cue of SubRip")
    duration = max(segment["end"] for segment in segments)
    return msgspec.json.encode(
        {
            "text": " ".join(segment["text"] for segment in segments),
            "segments": segments,
            "duration": duration,
            "language": "",
            "provenance": {},
        }
    )


def _data(body: bytes) -> bytes:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise _invalid(str(error)) from None
    inner = found.get("data") if "success" in found else found
    if not isinstance(inner, dict) or "segments" not in inner:
        raise _invalid("it has no segments")
    return msgspec.json.encode(inner)


def _cues(text: str) -> Iterator[dict[str, Any]]:
    """Blocks between empty lines; the line of times may follow a number."""
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    for block in blocks[:_CUES_MAX]:
        lines = block.strip().split("\n")
        at = next((n for n, line in enumerate(lines[:2]) if _TIMES.match(line)), None)
        if at is None:
            continue
        match = _TIMES.match(lines[at])
        if match is None:
            raise AssertionError("it matched a line before")
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        words = _TAG.sub("", " ".join(lines[at + 1 :])).strip()
        cue: dict[str, Any] = {"start": start, "end": max(start, end)}
        if speaker := _SPEAKER.match(words):
            cue["channel"] = int(speaker[1])
            words = words[speaker.end() :]
        if words:
            yield {**cue, "text": " ".join(words.split()), "words": []}


def _seconds(parts: tuple[str | Any, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _invalid(why: str) -> InputError:
    return InputError(
        "import_invalid",
        f"this is no transcript that can be imported: {why}",
        "import the JSON of a transcription, or subtitles in SRT",
    )
