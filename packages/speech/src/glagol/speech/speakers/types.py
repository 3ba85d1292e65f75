"""What is asked about speakers, and what a transcript says of them; no code here needs numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from glagol.core.errors import InputError

__all__ = ["PEOPLE_MAX", "Bounds", "Diarization", "DiarizationProvenance", "Speaker", "Spoken"]

PEOPLE_MAX: Final = 20
"""How many speakers may be asked for."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many people speak in a recording, as far as the caller knows.

    Attributes:
        least: at least so many, from 1.
        most: at most so many; None leaves it to the voices.
    """

    least: int = 1
    most: int | None = None

    @classmethod
    def asked(
        cls, *, diarize: bool, number: int | None, least: int | None, most: int | None
    ) -> Bounds | None:
        """What a caller's options come to.

        Args:
            diarize: whether speakers are to be found.
            number: of the speakers, where it is known.
            least: of them.
            most: of them.

        Returns:
            None where speakers are not asked for.

        Raises:
            InputError: `option_invalid`, naming the option.
        """
        given = {"num_speakers": number, "min_speakers": least, "max_speakers": most}
        for name, value in given.items():
            if value is None:
                continue
            if not diarize:
                raise _wrong(f"{name} needs diarize", "ask for diarize as well, or leave it out")
            if not 1 <= value <= PEOPLE_MAX:
                raise _wrong(f"{name}={value} is out of range", f"use 1..{PEOPLE_MAX}")
        if number is not None and (least is not None or most is not None):
            raise _wrong("num_speakers stands beside a least or most", "give the number alone")
        if least is not None and most is not None and least > most:
            raise _wrong(f"min_speakers={least} is above max_speakers={most}", "exchange them")
        if not diarize:
            return None
        return cls(number, number) if number is not None else cls(least or 1, most)


@dataclass(frozen=True, slots=True)
class Speaker:
    """One person of a recording.

    Attributes:
        id: "S1" for the first to speak, "S2" for the next.
        seconds: of speech.
        turns: how often the person began to speak.
        overlap_seconds: of speech while another one spoke, too.
        confidence: how much nearer the person's pieces are to each other than to the nearest other
            person, 0..1 (silhouette by centroids); None where there is one person. It is no
            probability.
    """

    id: str
    seconds: float
    turns: int
    overlap_seconds: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A speaker speaks from `start` to `end`, seconds; turns of different speakers may overlap."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True)
class DiarizationProvenance:
    """What found the speakers.

    Attributes:
        model: registry id.
        segmentation_sha256: digest of the weights that find speech, changes and overlap.
        embedding_sha256: digest of the weights that measure voices.
        step: seconds between two windows of the segmentation.
        threshold: mean distance of voices up to which they are one person.
        least: of the speakers, as asked.
        most: of them, as asked; None where it was left to the voices.
    """

    model: str
    segmentation_sha256: str
    embedding_sha256: str
    step: float
    threshold: float
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Diarization:
    """The speakers of a recording.

    Attributes:
        speakers: in order of their first turn.
        turns: by start.
        provenance: what found them.
    """

    speakers: tuple[Speaker, ...]
    turns: tuple[Spoken, ...]
    provenance: DiarizationProvenance


def _wrong(what: str, remedy: str) -> InputError:
    return InputError("option_invalid", what, remedy)
