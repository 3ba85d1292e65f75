"""What a summary is when it is done; the `data` of its HTTP answer."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Citations", "Coverage", "Point", "Report", "Span", "as_text"]

_HEADINGS = {
    "ru": ("Главное", "Поручения", "Решения"),
    "en": ("Key points", "Action items", "Decisions"),
}


class Span(msgspec.Struct, frozen=True):
    """A segment of the transcript; seconds, or null where the transcript has no times."""

    id: str
    start: float | None
    end: float | None


class Point(msgspec.Struct, frozen=True):
    """A thought, task or decision, and the segments that support it, at least one."""

    text: str
    segments: list[Span]


class Coverage(msgspec.Struct, frozen=True):
    """What was read, counted from the prompts that were answered.

    Attributes:
        segments: In the transcript.
        covered: Of them, read whole; a summary is only made when that is all.
        pieces: Prompts that they were read in.
        ids_sha256: Of the ids in order of reading, one in each line; cut segments count as parts.
    """

    segments: int
    covered: int
    pieces: int
    ids_sha256: str


class Citations(msgspec.Struct, frozen=True):
    """Labels that the model cited, those that were not in its prompt, items without support."""

    given: int
    dropped: int
    unsupported: int


class Report(msgspec.Struct, frozen=True):
    """A summary. Equal models, settings and transcripts on one machine give equal reports."""

    summary: str
    key_points: list[Point]
    action_items: list[Point]
    decisions: list[Point]
    language: str
    coverage: Coverage
    citations: Citations
    provenance: dict[str, Any]


def as_text(report: Report) -> str:
    """The summary for people: the account, then lists with times where there are any."""
    parts = [report.summary]
    lists = (report.key_points, report.action_items, report.decisions)
    for heading, points in zip(_HEADINGS[report.language], lists, strict=True):
        if points:
            parts.append("\n".join([f"{heading}:", *(_line(point) for point in points)]))
    return "\n\n".join(parts) + "\n"


def _line(point: Point) -> str:
    times = [_clock(span.start) for span in point.segments if span.start is not None]
    return f"- {point.text}" + (f" ({', '.join(dict.fromkeys(times))})" if times else "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
