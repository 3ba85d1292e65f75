"""How segments are written, by a caller's options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glagol.speech.text.digits import LANGUAGES, RULES_VERSION, in_digits
from glagol.speech.types import Notice, WritingProvenance, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.speech.types import Options, Segment, Transcript

__all__ = ["described", "written"]


def written(segments: Iterable[Segment], options: Options, language: str) -> list[Segment]:
    """Segments as `options` want them; those of another language than the rules' stay.

    Args:
        segments: with their words.
        options: what the caller chose.
        language: that is spoken, BCP 47.
    """
    if options.numbers == "words" or not _applies(options, language):
        return list(segments)
    return [_in_digits(segment) for segment in segments]


def described(transcript: Transcript, options: Options) -> Transcript:
    """The transcript with the provenance of its writing, and a notice where none was possible."""
    if options.numbers == "words":
        return transcript
    made = replace(transcript, writing=WritingProvenance(RULES_VERSION, options.numbers))
    if _applies(options, transcript.language):
        return made
    text = "English" if options.task == "translate" else f"the language {transcript.language}"
    notice = Notice(
        "numbers_in_words",
        f"numbers of {text} stay as the model writes them: digits are for Russian speech",
    )
    return replace(made, warnings=(*made.warnings, notice))


def _applies(options: Options, language: str) -> bool:
    return options.task == "transcribe" and language.partition("-")[0] in LANGUAGES


def _in_digits(segment: Segment) -> Segment:
    words = in_digits(segment.words)
    return replace(segment, words=words, text=text_of(words))
