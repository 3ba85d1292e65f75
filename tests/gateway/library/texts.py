"""Transcripts for the tests of the library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def transcript(segments: Sequence[tuple[float, str]], *, model: str = "made-up") -> bytes:
    """The JSON of a transcription whose words last 0.4 s each."""
    made: list[dict[str, Any]] = []
    for number, (start, text) in enumerate(segments):
        words = [
            {"start": start + at * 0.5, "end": start + at * 0.5 + 0.4, "text": w, "confidence": 0.9}
            for at, w in enumerate(text.split())
        ]
        end = words[-1]["end"] if words else start
        made.append(
            {"start": start, "end": end, "text": text, "words": words, "channel": number % 2}
        )
    duration = max((each["end"] for each in made), default=0.0)
    return json.dumps(
        {"segments": made, "duration": duration, "language": "ru", "provenance": {"model": model}}
    ).encode()


TALK = transcript(
    [
        (0.0, "добрый день это банк"),
        (3.0, "здравствуйте мне нужен перерасчёт"),
        (6.5, "назовите номер договора"),
        (9.0, "номер двадцать семь дробь четыре"),
    ]
)
