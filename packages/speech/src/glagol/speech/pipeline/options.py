"""Check the options of a caller against an engine, and adapt them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.core.errors import InputError
from glagol.speech.engines.base import Request
from glagol.speech.language import AUTO, matched
from glagol.speech.phrases.types import PHRASES_MAX

if TYPE_CHECKING:
    from glagol.speech.engines.base import Traits
    from glagol.speech.types import Options

__all__ = [
    "PAUSE_MAX_S",
    "PAUSE_MIN_S",
    "PROMPT_MAX",
    "TEMPERATURE_MAX",
    "granted",
    "language_of",
    "refused",
    "request_of",
]

TEMPERATURE_MAX = 1.0
BEAM_MAX = 16
PAUSE_MIN_S, PAUSE_MAX_S = 0.2, 5.0

PROMPT_MAX = 4096
"""Characters; more is a mistake, not a prompt. How much of it an engine reads is its own."""


def granted(options: Options, name: str, traits: Traits) -> Options:
    """The options as an engine can serve them: its own word for the language; no words untimed.

    Args:
        options: what the caller chose.
        name: of the model, for messages.
        traits: of its engine.

    Raises:
        InputError: `option_invalid`, the engine does not know the language or takes no such
            option, a length is wrong, or speakers are asked for in channels that are kept apart.
    """
    for option, remedy in refused(options, traits).items():
        raise InputError("option_invalid", f"{name} does not take this {option}", remedy)
    if not (options.short_audio_s >= 0 and options.max_audio_s > 0):
        raise InputError(
            "option_invalid",
            f"short_audio_s {options.short_audio_s} or max_audio_s {options.max_audio_s} is wrong",
            "use seconds: short_audio_s from 0, max_audio_s above 0",
        )
    if options.pause_s is not None and not PAUSE_MIN_S <= options.pause_s <= PAUSE_MAX_S:
        raise InputError(
            "option_invalid",
            f"a pause of {options.pause_s:g} s cannot end a segment",
            f"use {PAUSE_MIN_S:g}..{PAUSE_MAX_S:g} s",
        )
    if options.speakers is not None and options.channel == "split":
        raise InputError(
            "option_invalid",
            "diarize does not go with channel=split: each channel is a speaker already",
            "leave diarize out, or use channel=mix",
        )
    timed = options.word_timestamps and traits.word_times != "none"
    language = language_of(options.language, name, traits)
    return replace(options, language=language, word_timestamps=timed)


def language_of(asked: str, name: str, traits: Traits) -> str:
    """The language that an engine will be asked for, in its own spelling.

    Args:
        asked: as `glagol.speech.language.matched` takes it.
        name: of the model, for the message.
        traits: of its engine.

    Returns:
        One of `Traits.languages`; any tag where there are none. `AUTO` where the engine detects it.

    Raises:
        InputError: `option_invalid`, the engine does not know it.
    """
    found = matched(asked, traits.languages)
    if found == AUTO and traits.languages and not traits.detects_language:
        return traits.languages[0]
    if found is None:
        known = f"use one of {', '.join(traits.languages)}, or auto" if traits.languages else ""
        raise InputError(
            "option_invalid",
            f"{name} does not know the language {asked.strip()[:24]!r}",
            known or "use a BCP 47 tag such as ru, or auto",
        )
    return found


def refused(options: Options, traits: Traits) -> dict[str, str]:
    """The options that an engine does not take, each with what to do instead."""
    found = {}
    if options.prompt and not traits.takes_prompt:
        found["prompt"] = "leave it out, or choose a model that takes one"
    elif len(options.prompt) > PROMPT_MAX:
        found["prompt"] = f"use at most {PROMPT_MAX} characters"
    if options.phrases and not traits.takes_phrases:
        found["phrases"] = "leave it out, or choose a model that takes phrases"
    elif len(options.phrases) > PHRASES_MAX:
        found["phrases"] = f"give at most {PHRASES_MAX}, those that matter for this recording"
    if not 0 <= options.temperature <= TEMPERATURE_MAX:
        found["temperature"] = f"use 0..{TEMPERATURE_MAX:g}"
    elif options.temperature and not traits.takes_temperature:
        found["temperature"] = "leave it out, or use 0: the likeliest text is the only answer"
    if options.task == "translate" and not traits.translates:
        found["task"] = "use transcribe, or choose a model that translates: glagol models list"
    usual = type(options)()
    for option in ("beam", "window", "history"):
        if not traits.searches and getattr(options, option) != getattr(usual, option):
            found[option] = "leave it out, or choose a model that searches for its text"
    if options.beam is not None and not 1 <= options.beam <= BEAM_MAX:
        found["beam"] = f"use 1..{BEAM_MAX}"
    return found


def request_of(options: Options) -> Request:
    """What the engine is asked for."""
    return Request(
        language=None if options.language == AUTO else options.language,
        task=options.task,
        prompt=options.prompt,
        temperature=options.temperature,
        beam=options.beam,
        window=options.window,
        history=options.history,
        phrases=options.phrases,
    )
