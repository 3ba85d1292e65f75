"""The words of one channel's windows, by one decoding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glagol.speech.types import SAMPLE_RATE, Array, Word

if TYPE_CHECKING:
    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.base import Decoding

__all__ = ["Hearing"]


@dataclass(slots=True)
class Hearing:
    """Gives the windows of one channel to a decoding, in order.

    Attributes:
        decoding: the engine's state of this channel.
        language: of the first window that was recognised, BCP 47; empty before.
    """

    decoding: Decoding
    language: str = ""

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
        self.language = self.language or found.language
        offset = start / SAMPLE_RATE
        return [
            replace(word, start=offset + word.start, end=offset + word.end) for word in found.words
        ]
