"""OpenAI's answer with speakers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glagol.speech.types import Transcript

__all__ = ["diarized"]


def diarized(transcript: Transcript, ours: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's `TranscriptionDiarized`; its speakers are letters, ours are as everywhere here.

    Args:
        transcript: with speakers.
        ours: what stands beside OpenAI's fields.
    """
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{at:03}",
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "speaker": segment.speaker or "",
        }
        for at, segment in enumerate(transcript.segments)
    ]
    found = transcript.diarization
    return {
        "task": "transcribe",
        "duration": transcript.duration_s,
        "text": transcript.text,
        "segments": segments,
        "usage": {"type": "duration", "seconds": transcript.duration_s},
        "speakers": found.speakers if found else (),
        **ours,
    }
