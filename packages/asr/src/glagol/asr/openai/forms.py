"""The values of OpenAI's `response_format`: those shared with our route, and its own."""

from __future__ import annotations

from typing import Final

from glagol.speech.output.formats import FORMATS, JSON

__all__ = ["DIARIZED", "FORMS", "STREAMED", "VERBOSE", "media_type"]

VERBOSE: Final = "verbose_json"
"""OpenAI's JSON with times; `json` is its JSON without, which is not ours either."""

DIARIZED: Final = "diarized_json"
"""OpenAI's JSON with the speakers of segments; asking for it asks for speakers."""

_SHARED: Final = [row.name for row in FORMATS.values() if row.openai]
FORMS: Final = (*_SHARED[:3], VERBOSE, *_SHARED[3:], DIARIZED)
"""In the order of OpenAI's reference."""

STREAMED: Final = tuple(
    form for form in FORMS if form == VERBOSE or (form in FORMATS and FORMATS[form].joinable)
)
"""Those that can come as events."""


def media_type(form: str) -> str:
    """Of an answer in `form`, one of `FORMS`."""
    return FORMATS[JSON if form in (VERBOSE, DIARIZED) else form].media_type
