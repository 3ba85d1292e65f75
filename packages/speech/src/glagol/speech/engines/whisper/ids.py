"""Compute the ids of Whisper's special tokens, and find the language of a recording.

Every id follows from the size of the vocabulary (`whisper/tokenizer.py` upstream). The tokenizer
files of published conversions have wrong ids, so they are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.speech.types import Array

__all__ = ["LANGUAGES", "TIMESTAMP_S", "Ids", "Votes"]

TIMESTAMP_S: Final = 0.02
"""Seconds between two timestamps, and between two frames of the encoder."""

TIMESTAMPS: Final = 1501
"""Number of timestamp tokens, 0.00 to 30.00 s."""

_TAGS: Final = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th"
    " ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr"
    " pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt"
    " haw ln ha ba jv su yue"
)
LANGUAGES: Final = tuple(_TAGS.split())
"""BCP 47 tags in the order of their ids; upstream writes `jw` for Javanese. The last one is new in
the vocabulary of 51,866."""

ENGLISH: Final = 51_864
"""Size of the vocabulary of the models for English only."""

SIZES: Final = (ENGLISH, 51_865, 51_866)


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids of the special tokens; text tokens are 0 to `eot`, exclusive.

    Attributes:
        vocabulary: number of tokens.
        languages: BCP 47 tags, by rising id from `sot + 1`; empty for models for English only.
        eot: end of the text.
        sot: start of a transcript.
        translate: the task of translation into English.
        transcribe: the task of transcription.
        sot_lm: unused.
        sot_prev: start of the text of earlier windows, which serves as context.
        no_speech: its probability after `sot` is the probability that the window has no speech.
        no_timestamps: requests text without times.
        timestamps: id of 0.00 s; the others follow every 0.02 s up to 30 s.
    """

    vocabulary: int
    languages: tuple[str, ...]
    eot: int
    sot: int
    translate: int
    transcribe: int
    sot_lm: int
    sot_prev: int
    no_speech: int
    no_timestamps: int
    timestamps: int

    @classmethod
    def of(cls, vocabulary: int) -> Ids:
        """The ids for a vocabulary of `vocabulary` tokens.

        Raises:
            IntegrityError: `manifest_invalid`, no Whisper model has a vocabulary of this size.
        """
        if vocabulary not in SIZES:
            raise IntegrityError(
                "manifest_invalid",
                f"the vocabulary has {vocabulary} tokens, not one of {SIZES}",
                "restore manifest.json from the release or from version control",
            )
        english = vocabulary == ENGLISH
        count = len(LANGUAGES) if vocabulary == SIZES[-1] else len(LANGUAGES) - 1
        timestamps = vocabulary - TIMESTAMPS
        translate = timestamps - 6
        sot = translate - count - 1
        return cls(
            vocabulary=vocabulary,
            languages=() if english else LANGUAGES[:count],
            eot=sot - 1,
            sot=sot,
            translate=translate,
            transcribe=translate + 1,
            sot_lm=translate + 2,
            sot_prev=translate + 3,
            no_speech=translate + 4,
            no_timestamps=translate + 5,
            timestamps=timestamps,
        )

    @property
    def spoken(self) -> tuple[str, ...]:
        """BCP 47 tags of all languages that the vocabulary can transcribe."""
        return self.languages or LANGUAGES[:1]

    def start(self, language: str, task: str) -> list[int]:
        """The tokens that begin a transcript; with language and task if the model has languages."""
        if not self.languages:
            return [self.sot]
        spoken = self.sot + 1 + self.languages.index(language)
        return [self.sot, spoken, self.translate if task == "translate" else self.transcribe]

    def of_languages(self, languages: tuple[str, ...]) -> list[int]:
        """The ids of languages, in their order."""
        return [self.sot + 1 + self.languages.index(language) for language in languages]


class Votes:
    """Finds the language of a recording from the language probabilities of its windows.

    Each window adds its probabilities, weighted by its seconds. After 30 s of speech the language
    is settled; until then, each window is decoded in the most probable language so far.

    Args:
        languages: BCP 47 tags, in the order of the probabilities.
    """

    ENOUGH_S: Final = 30.0

    def __init__(self, languages: tuple[str, ...]) -> None:
        self._languages = languages
        self._sums = np.zeros(len(languages))
        self._seconds = 0.0

    @property
    def settled(self) -> bool:
        """Whether `ENOUGH_S` seconds of speech were added, so that `language` stays."""
        return self._seconds >= self.ENOUGH_S

    @property
    def language(self) -> str:
        """The most probable language so far, BCP 47."""
        return self._languages[int(self._sums.argmax())]

    def add(self, logits: Array, seconds: float) -> None:
        """Add the language logits [languages] of a window with `seconds` of speech."""
        odds = np.exp(logits.astype(np.float64) - float(logits.max()))
        self._sums += odds / odds.sum() * seconds
        self._seconds += seconds
