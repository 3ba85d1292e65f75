"""What was found of a recording's speakers, as its transcript says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glagol.speech.speakers.frames import FRAME
from glagol.speech.speakers.types import Diarization, DiarizationProvenance, Speaker, Spoken
from glagol.speech.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.speech.speakers.diarizer import Found
    from glagol.speech.speakers.families import SpeakerModel
    from glagol.speech.speakers.types import Bounds

__all__ = ["diarization"]


def diarization(found: Found, model: SpeakerModel, bounds: Bounds) -> Diarization:
    """Name the people S1, S2 in order of their first turn, and add up how long they speak."""
    turns = tuple(Spoken(t.start, t.end, f"S{t.person + 1}") for t in found.turns)
    shared = _overlaps(turns)
    speakers = []
    for person, score in enumerate(found.scores):
        name = f"S{person + 1}"
        mine = [turn for turn in turns if turn.speaker == name]
        seconds = round(sum(turn.end - turn.start for turn in mine), 3)
        speakers.append(Speaker(name, seconds, len(mine), round(shared[name], 3), score))
    config = model.config
    provenance = DiarizationProvenance(
        model=model.id,
        segmentation_sha256=model.artifacts["segmentation.data"],
        embedding_sha256=model.artifacts["embedding.data"],
        step=round(config.step_frames * FRAME / SAMPLE_RATE, 4),
        threshold=config.threshold,
        least=bounds.least,
        most=bounds.most,
    )
    return Diarization(tuple(speakers), turns, provenance)


def _overlaps(turns: Sequence[Spoken]) -> dict[str, float]:
    """Seconds of each speaker during which another one speaks, too."""
    shared = {turn.speaker: 0.0 for turn in turns}
    edges = sorted(
        [(turn.start, 1, turn.speaker) for turn in turns]
        + [(turn.end, 0, turn.speaker) for turn in turns]
    )
    speaking: set[str] = set()
    last = 0.0
    for time, begins, name in edges:
        for other in speaking if len(speaking) > 1 else ():
            shared[other] += time - last
        (speaking.add if begins else speaking.discard)(name)
        last = time
    return shared
