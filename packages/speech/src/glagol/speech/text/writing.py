"""How segments are written, by a caller's options."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from glagol.speech.text.digits import LANGUAGES, RULES_VERSION, in_digits
from glagol.speech.text.masking import CONTEXT_WORDS, masked, runs
from glagol.speech.types import Notice, Word, WritingProvenance, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.speech.types import Options, Segment, Transcript

__all__ = ["Writer", "described"]


KEPT_MAX: Final = 64
"""Segments that are kept back at most, where a recording says nothing but numbers."""


class Writer:
    """Segments of one transcription in, the same as `options` want them out, in order.

    With `redact` a segment that ends in a number is kept back until the next words of its channel
    say whether the number is longer. Without it every segment comes at once.

    Args:
        options: what the caller chose.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._kept: list[Segment] = []
        self._context: dict[int | None, tuple[Word, ...]] = defaultdict(tuple)

    def push(
        self, segments: Iterable[Segment], language: str, *, last: bool = False
    ) -> list[Segment]:
        """Take the next segments with their words; give those that are written.

        Args:
            segments: by time; those of another language than the rules' get no digits.
            language: that is spoken, BCP 47.
            last: whether none follows: nothing is kept back then.
        """
        found = self._redacted(segments, last=last) if self._options.redact else list(segments)
        if self._options.numbers == "words" or not _applies(self._options, language):
            return found
        return [_with(segment, in_digits(segment.words)) for segment in found]

    def _redacted(self, segments: Iterable[Segment], *, last: bool) -> list[Segment]:
        """Segments without numbers of people, as far as it is known where those end."""
        self._kept += segments
        last = last or len(self._kept) > KEPT_MAX
        ready = len(self._kept)
        marks: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for channel in {segment.channel for segment in self._kept}:
            spots = [(-1, -1)] * len(self._context[channel])
            said = [*self._context[channel]]
            for index, segment in enumerate(self._kept):
                if segment.channel == channel:
                    spots += [(index, place) for place in range(len(segment.words))]
                    said += segment.words
            for run in runs(said):
                mine = [spots[place] for place in run.places if spots[place][0] >= 0]
                if run.open and mine and not last:
                    ready = min(ready, mine[0][0])
                if run.mask is not None:
                    for index, place in mine:
                        marks[index].append((place, run.mask))
        done, self._kept = self._kept[:ready], self._kept[ready:]
        for segment in done:
            said = [*self._context[segment.channel], *segment.words]
            self._context[segment.channel] = tuple(said[-CONTEXT_WORDS:])
        return [_with(segment, masked(segment, marks[at])) for at, segment in enumerate(done)]


def described(transcript: Transcript, options: Options) -> Transcript:
    """The transcript with the provenance of its writing, and a notice where none was possible."""
    if options.numbers == "words" and not options.redact:
        return transcript
    writing = WritingProvenance(RULES_VERSION, options.numbers, options.redact)
    made = replace(transcript, writing=writing)
    if options.numbers == "words" or _applies(options, transcript.language):
        return made
    text = "English" if options.task == "translate" else f"the language {transcript.language}"
    notice = Notice(
        "numbers_in_words",
        f"numbers of {text} stay as the model writes them: digits are for Russian speech",
    )
    return replace(made, warnings=(*made.warnings, notice))


def _applies(options: Options, language: str) -> bool:
    return options.task == "transcribe" and language.partition("-")[0] in LANGUAGES


def _with(segment: Segment, words: tuple[Word, ...]) -> Segment:
    return segment if words == segment.words else replace(segment, words=words, text=text_of(words))
