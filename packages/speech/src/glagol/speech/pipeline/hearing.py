"""The words of one channel's windows, by one decoding."""

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

__all__ = ["Hearing", "searched", "spoken"]


@dataclass(slots=True)
class Hearing:
    """Gives the windows of one channel to a decoding, in order.

    Attributes:
        decoding: the engine's state of this channel.
        language: of the last window that was recognised, BCP 47; empty before.
        search: how texts were chosen so far; None where there was no choice.
        warnings: what could not be done as it was asked for, each once.
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
            stop: set by another thread to give up.

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


def spoken(hearings: Iterable[Hearing], options: Options) -> str:
    """The spoken language, by the engine; by the caller's options where the engine gives none."""
    asked = UNDETERMINED if options.language == AUTO else options.language
    return next((each.language for each in hearings if each.language), asked)


def searched(provenance: Provenance, hearings: Iterable[Hearing]) -> Provenance:
    """The provenance with what the engine's searches came to, where it made any."""
    search = _warmest(hearing.search for hearing in hearings)
    if search is None:
        return provenance
    known = {each.name: getattr(provenance, each.name) for each in fields(provenance)}
    return SearchedProvenance(**known, search=search)


def _warmest(searches: Iterable[SearchProvenance | None]) -> SearchProvenance | None:
    """Of several searches of one transcription that with the highest temperature; None for none."""
    made = [search for search in searches if search is not None]
    return max(made, key=lambda search: search.temperature) if made else None
