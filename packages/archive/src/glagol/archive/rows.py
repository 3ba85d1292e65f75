"""The tables of an archive: their columns, and transcripts as rows and back.

`docs/reference/archive.md` is the list for readers; a test holds both together.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from glagol.speech.output.formats import as_data, of_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glagol.archive.sources import Source
    from glagol.core.errors import GlagolError
    from glagol.speech.types import Transcript

__all__ = ["FAILED", "KEYS", "RECORDINGS", "failed_row", "moved", "row_of", "transcript_of"]

_WORD: Final = {
    "start": "double",
    "end": "double",
    "text": "string",
    "confidence": "double",
    "glued": "bool",
    "speaker": "string",
}
_SEGMENT: Final = {
    "start": "double",
    "end": "double",
    "text": "string",
    "channel": "int64",
    "speaker": "string",
    "words": [_WORD],
}
_SECONDS: Final = {"decoded": "double", "dropped": "double"}

KEYS: Final = {
    "path": "string",
    "audio_sha256": "string",
    "size_bytes": "int64",
    "version": "string",
    "decided_by": "string",
    "formats": ["string"],
}
"""What says whether a recording is done: the first columns of `RECORDINGS`."""

RECORDINGS: Final[dict[str, Any]] = {
    **KEYS,
    "model": "string",
    "model_version": "string",
    "variant": "string",
    "language": "string",
    "duration": "double",
    "complete": "bool",
    "text": "string",
    "segments": [_SEGMENT],
    "speakers": [
        {
            "id": "string",
            "seconds": "double",
            "turns": "int64",
            "overlap_seconds": "double",
            "confidence": "double",
        }
    ],
    "turns": [{"start": "double", "end": "double", "speaker": "string"}],
    "coverage": {**_SECONDS, "channels": [_SECONDS]},
    "warnings": [{"code": "string", "message": "string", "at_s": "double", "missing_s": "double"}],
    "provenance": "string",
    "release": "string",
}
"""Columns of the transcripts: name, and type; {} is a struct, [] a list."""

FAILED: Final[dict[str, Any]] = {
    "path": "string",
    "size_bytes": "int64",
    "version": "string",
    "code": "string",
    "message": "string",
    "remedy": "string",
}
"""Columns of the recordings that could not be transcribed."""

_OF_DATA: Final = ("language", "duration", "complete", "text", "segments", "coverage", "warnings")
_OF_PROVENANCE: Final = ("model", "model_version", "variant")


def row_of(
    transcript: Transcript, source: Source, decided_by: str, formats: Sequence[str], release: str
) -> dict[str, Any]:
    """A transcript as a row of `RECORDINGS`.

    Args:
        transcript: with the digest of its audio.
        source: the recording.
        decided_by: digest of what decided the text (`glagol.archive.decided`).
        formats: names of the files that were written beside the table.
        release: of this program.
    """
    data = as_data(transcript)
    provenance = data["provenance"]
    return {
        **_keys(source, decided_by, formats),
        "audio_sha256": provenance["audio_sha256"],
        **{name: data[name] for name in _OF_DATA},
        **{name: provenance[name] for name in _OF_PROVENANCE},
        "speakers": data.get("speakers"),
        "turns": data.get("turns"),
        "provenance": json.dumps(provenance, ensure_ascii=False, separators=(",", ":")),
        "release": release,
    }


def moved(
    row: Mapping[str, Any], source: Source, decided_by: str, formats: Sequence[str]
) -> dict[str, Any]:
    """The row of another recording with the same bytes."""
    return {**row, **_keys(source, decided_by, formats)}


def transcript_of(row: Mapping[str, Any]) -> Transcript:
    """The transcript that `row_of` made a row of, equal in every format.

    Raises:
        KeyError, TypeError, ValueError: it is no such row.
    """
    data: dict[str, Any] = {name: _said(row[name]) for name in _OF_DATA}
    data["warnings"] = list(row["warnings"])
    data["provenance"] = json.loads(row["provenance"])
    for name in ("speakers", "turns"):
        if row[name] is not None:
            data[name] = row[name]
    return of_data(data)


def failed_row(source: Source, error: GlagolError) -> dict[str, Any]:
    """A row of `FAILED`."""
    return {
        "path": source.name,
        "size_bytes": source.size_bytes,
        "version": source.version,
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
    }


def _keys(source: Source, decided_by: str, formats: Sequence[str]) -> dict[str, Any]:
    return {
        "path": source.name,
        "size_bytes": source.size_bytes,
        "version": source.version,
        "decided_by": decided_by,
        "formats": list(formats),
    }


def _said(value: Any) -> Any:
    """Without the fields that a table fills with nothing."""
    if isinstance(value, dict):
        return {name: _said(each) for name, each in value.items() if each is not None}
    return [_said(each) for each in value] if isinstance(value, list) else value
