"""Attempts at one window, until a text looks like speech (`whisper/transcribe.py` upstream).

A text that repeats itself, or that the model itself finds unlikely, is tried again: first with the
full window where a cropped one was read, for the encoder was trained on 30 s, then at rising
temperatures.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.speech.engines.whisper.graphs import FRAMES_MAX
from glagol.speech.engines.whisper.search import Search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.whisper.graphs import Cross, Graphs
    from glagol.speech.engines.whisper.ids import Ids
    from glagol.speech.engines.whisper.rules import Rules
    from glagol.speech.engines.whisper.search import Decoded
    from glagol.speech.engines.whisper.vocabulary import Vocabulary
    from glagol.speech.types import Array, WindowRule

__all__ = ["TEMPERATURES", "Attempt", "Attempts", "padded", "repetition"]

TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

REPETITION_MAX: Final = 2.4
"""Bytes of the text for each byte of it compressed; above, it repeats itself."""

AVERAGE_MIN: Final = -1.0
"""Least log-probability per token."""

SILENCE_MIN: Final = 0.6
"""Probability from which on an unlikely text is taken for silence."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A text of a window.

    Attributes:
        decoded: the text.
        cross: the encoded window that it was read from.
        full: whether that was 30 s.
        repetition: see `REPETITION_MAX`.
    """

    decoded: Decoded
    cross: Cross
    full: bool
    repetition: float

    @property
    def silent(self) -> bool:
        """Whether the window holds no speech."""
        decoded = self.decoded
        return decoded.no_speech > SILENCE_MIN and decoded.average < AVERAGE_MIN

    @property
    def sound(self) -> bool:
        """Whether the text looks like speech."""
        return self.repetition <= REPETITION_MAX and self.decoded.average >= AVERAGE_MIN


@dataclass(frozen=True, slots=True)
class Attempts:
    """How windows of one transcription are read.

    Attributes:
        graphs: the model.
        ids: of its special tokens.
        rules: what may be sampled.
        vocabulary: its tokens.
        window: "cropped" reads the speech and a margin first.
        margin: frames of that margin.
        beams: of the search.
        temperature: at which the first attempt is made.
        seed: of all noise, with the window.
    """

    graphs: Graphs
    ids: Ids
    rules: Rules
    vocabulary: Vocabulary
    window: WindowRule
    margin: int
    beams: int
    temperature: float
    seed: bytes

    def encoded(self, mel: Array, *, full: bool, stop: Interrupt | None) -> Cross:
        """Encode a window of speech, float32 [mels, frames]."""
        return self.graphs.encode(padded(mel, self.frames(mel.shape[1], full=full)), stop)

    def frames(self, speech: int, *, full: bool) -> int:
        """Frames that the encoder reads for so many frames of speech; even."""
        return FRAMES_MAX if full else min(FRAMES_MAX, -(-(speech + self.margin) // 2) * 2)

    def best(
        self,
        mel: Array,
        prompt: Sequence[int],
        first: Cross | None = None,
        stop: Interrupt | None = None,
    ) -> Attempt:
        """The first attempt that looks like speech or like silence, else the likeliest one.

        Args:
            mel: float32 [mels, frames] of the speech alone, at most 30 s.
            prompt: tokens before the first sampled one.
            first: the window as the first attempt reads it, when it is encoded already.
            stop: set by another thread to give up.

        Raises:
            HostError: `cancelled`.
        """
        made: list[Attempt] = []
        for attempt in self._made(mel, prompt, first, stop):
            made.append(attempt)
            if attempt.sound or attempt.silent:
                return attempt
        plain = [each for each in made if each.repetition <= REPETITION_MAX]
        return max(plain or made, key=lambda each: each.decoded.average)

    def cropped(self, speech: int) -> bool:
        """Whether the first attempt at so many frames of speech reads less than 30 s."""
        return self.window == "cropped" and self.frames(speech, full=False) < FRAMES_MAX

    def _made(
        self, mel: Array, prompt: Sequence[int], first: Cross | None, stop: Interrupt | None
    ) -> Iterator[Attempt]:
        cross = first
        if self.cropped(mel.shape[1]):
            cross = cross or self.encoded(mel, full=False, stop=stop)
            search = Search(self.graphs, self.ids, self.rules, cross, prompt, stop)
            yield self._attempt(search, mel, cross, self.temperature, full=False)
            cross = None
        cross = cross or self.encoded(mel, full=True, stop=stop)
        search = Search(self.graphs, self.ids, self.rules, cross, prompt, stop)
        yield self._attempt(search, mel, cross, self.temperature, full=True)
        for temperature in TEMPERATURES:
            if temperature > self.temperature:
                yield self._attempt(search, mel, cross, temperature, full=True)

    def _attempt(
        self, search: Search, mel: Array, cross: Cross, temperature: float, *, full: bool
    ) -> Attempt:
        seed = 0
        if temperature > 0:
            said = b"%s %.2f %d " % (self.seed, temperature, full)
            digest = hashlib.sha256(said + np.ascontiguousarray(mel).tobytes())
            seed = int.from_bytes(digest.digest()[:8], "little")
        decoded = search.run(temperature=temperature, beams=self.beams, seed=seed)
        text = self.vocabulary.decoded(decoded.tokens)
        return Attempt(decoded, cross, full, repetition(text))


def padded(mel: Array, frames: int) -> Array:
    """Mel frames [mels, n] with zeros behind them, [mels, frames]; zero is not silence.

    The reference pads the logarithms, so the model was used to that.
    """
    out: Array = np.zeros((mel.shape[0], frames), np.float32)
    out[:, : mel.shape[1]] = mel
    return out


def repetition(text: str) -> float:
    """Compression ratio of a text, which is high for repetitions."""
    data = text.strip().encode("utf-8")
    return len(data) / len(zlib.compress(data))
