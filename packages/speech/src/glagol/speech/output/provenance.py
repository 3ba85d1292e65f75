"""What made a transcript, as data: written for JSON, and read back from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.speech.phrases.types import Phrases
    from glagol.speech.speakers.types import Diarization
    from glagol.speech.types import Provenance, Transcript, WritingProvenance

__all__ = ["diarization_of", "phrases_of", "provenance_data", "provenance_of", "writing_of"]


def provenance_data(transcript: Transcript) -> dict[str, Any]:
    """Everything that decided a transcript, as `glagol.speech.output.formats.as_data` has it."""
    data = asdict(transcript.provenance)
    if transcript.diarization is not None:
        data["diarization"] = asdict(transcript.diarization.provenance)
    if transcript.phrases is not None:
        data["phrases"] = asdict(transcript.phrases.provenance)
    if transcript.writing is not None:
        data["writing"] = asdict(transcript.writing)
    return data


def provenance_of(data: Mapping[str, Any]) -> Provenance:
    """The provenance of the engine that `provenance_data` wrote.

    Raises:
        KeyError, TypeError: `data` is something else.
    """
    from glagol.speech.types import (
        Provenance,
        SearchedProvenance,
        SearchProvenance,
        VadProvenance,
    )

    vad = data["vad"]
    found = {**data, "vad": None if vad is None else VadProvenance(**vad)}
    for name in ("diarization", "phrases", "writing"):  # they are of the transcript
        found.pop(name, None)
    found = {"kernels_sha256": None, **found}  # not in results of earlier versions
    if "search" not in found:
        return Provenance(**found)
    return SearchedProvenance(**{**found, "search": SearchProvenance(**found["search"])})


def diarization_of(data: Mapping[str, Any]) -> Diarization | None:
    """The speakers that `as_data` wrote; None where there are none."""
    import msgspec

    from glagol.speech.speakers.types import Diarization

    provenance = data["provenance"].get("diarization")
    if provenance is None:
        return None
    people = {"speakers": data["speakers"], "turns": data["turns"], "provenance": provenance}
    return msgspec.convert(people, Diarization)


def phrases_of(data: Mapping[str, Any]) -> Phrases | None:
    """What became of phrases, as `as_data` wrote it; None where none were expected."""
    import msgspec

    from glagol.speech.phrases.types import Phrases

    provenance = data["provenance"].get("phrases")
    if provenance is None:
        return None
    return msgspec.convert({**data["phrases"], "provenance": provenance}, Phrases)


def writing_of(provenance: Mapping[str, Any]) -> WritingProvenance | None:
    """How the text was written, by what `provenance_data` wrote; None where it was not asked."""
    import msgspec

    from glagol.speech.types import WritingProvenance

    return msgspec.convert(provenance.get("writing"), WritingProvenance | None)
