"""Recognise the windows of one channel in order, with the engine's state of that channel."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from glagol.speech.language import AUTO, UNDETERMINED
from glagol.speech.types import SAMPLE_RATE, Array, SearchedProvenance, Word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.base import Decoding
    from glagol.speech.types import Notice, Options, Provenance, SearchProvenance

__all__ = ["ChannelDecoder", "searched", "spoken"]


@dataclass(slots=True)
class ChannelDecoder:
    """Recognises the windows of one channel, in order; calling it recognises the next one.

    Attributes:
        decoding: the engine's state of this channel.
        language: of the last window that was recognised, BCP 47; empty before.
        search: how the texts were searched so far; None where the engine does not search.
        warnings: what could not be done as requested, each once.
    """

    decoding: Decoding
    language: str = ""
    search: SearchProvenance | None = None
    warnings: tuple[Notice, ...] = ()

    def __call__(self, samples: Array, start: int, stop: Interrupt | None = None) -> list[Word]:
        """Words of a window.

        Args:
            samples: float32 [n], at most as long as the engine's window.
            start: position of the first sample in the recording.
            stop: set by another thread to cancel.

        Returns:
            Words with times in seconds of the recording.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        found = self.decoding.transcribe(samples, stop=stop)
        self.language = found.language or self.language
        self.search = _warmest([self.search, found.search])
        self.warnings = tuple(dict.fromkeys((*self.warnings, *found.warnings)))
        offset = start / SAMPLE_RATE
        return [
            replace(word, start=offset + word.start, end=offset + word.end) for word in found.words
        ]


def spoken(decoders: Iterable[ChannelDecoder], options: Options) -> str:
    """The language that the engine reports; where it reports none, that of the options."""
    asked = UNDETERMINED if options.language == AUTO else options.language
    return next((each.language for each in decoders if each.language), asked)


def searched(provenance: Provenance, decoders: Iterable[ChannelDecoder]) -> Provenance:
    """Add the result of the engine's searches to the provenance, if there were any."""
    search = _warmest(decoder.search for decoder in decoders)
    if search is None:
        return provenance
    known = {each.name: getattr(provenance, each.name) for each in fields(provenance)}
    return SearchedProvenance(**known, search=search)


def _warmest(searches: Iterable[SearchProvenance | None]) -> SearchProvenance | None:
    """The search with the highest temperature; None if there was none."""
    made = [search for search in searches if search is not None]
    return max(made, key=lambda search: search.temperature) if made else None
