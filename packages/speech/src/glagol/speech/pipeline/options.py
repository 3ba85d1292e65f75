"""What a caller may ask of an engine, and what the engine makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from glagol.core.errors import InputError
from glagol.speech.engines.base import Request

if TYPE_CHECKING:
    from glagol.speech.engines.base import Traits
    from glagol.speech.types import Options

__all__ = ["AUTO", "UNDETERMINED", "granted", "request_of"]

AUTO: Final = "auto"
"""Instead of a language, where the engine detects it."""

UNDETERMINED: Final = "und"
"""The language of silence, when none was asked for (BCP 47)."""


def granted(options: Options, name: str, traits: Traits) -> Options:
    """The options as an engine can serve them: without words where it knows no times.

    Args:
        options: what the caller chose.
        name: of the model, for messages.
        traits: of its engine.

    Raises:
        InputError: `option_invalid`, the engine does not know the language, or a length is wrong.
    """
    detected = options.language == AUTO and traits.detects_language
    if traits.languages and options.language not in traits.languages and not detected:
        raise InputError(
            "option_invalid",
            f"{name} does not know the language {options.language!r}",
            f"use one of {', '.join(traits.languages)}",
        )
    if not (options.short_audio_s >= 0 and options.max_audio_s > 0):
        raise InputError(
            "option_invalid",
            f"short_audio_s {options.short_audio_s} or max_audio_s {options.max_audio_s} is wrong",
            "use seconds: short_audio_s from 0, max_audio_s above 0",
        )
    timed = options.word_timestamps and traits.word_times != "none"
    return replace(options, word_timestamps=timed)


def request_of(options: Options) -> Request:
    """What the engine is asked for."""
    return Request(language=None if options.language == AUTO else options.language)
