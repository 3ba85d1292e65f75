"""What travels over HTTP: the envelope, the transcript's shape, and their bytes.

`glagol.speech.output.formats` writes the transcript itself, so that the CLI, a job and an HTTP
answer carry the same bytes; the structs here describe it for the OpenAPI document and the tests.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from glagol.speech.phrases.types import Refusal
from glagol.speech.speakers.types import Speaker, Spoken
from glagol.speech.types import Notice

__all__ = [
    "Channel",
    "Coverage",
    "Envelope",
    "ModelEntry",
    "ModelList",
    "Segment",
    "Transcript",
    "Word",
]

Channel = Literal["mix", "split"]


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word; start and end in seconds of the input, confidence 0..1.

    `glued` is only there, and true, where no space stands before it, as in Chinese; `speaker` only
    with diarize=true; `spoken`, what was said, only where numbers=digits wrote it otherwise.
    """

    start: float
    end: float
    text: str
    confidence: float
    glued: bool | None = None
    speaker: str | None = None
    spoken: str | None = None


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of speech; `words` is empty when word timestamps were switched off.

    `channel` (0 is the first) is only there with channel=split, `speaker` with diarize=true.
    """

    start: float
    end: float
    text: str
    words: list[Word] = []
    channel: int | None = None
    speaker: str | None = None


class Coverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of the input that reached the encoder, and seconds that voice detection dropped.

    With channel=split these are sums over the channels, and `channels` has each one's own.
    """

    decoded: float
    dropped: float
    channels: list[Coverage] | None = None


class PhraseReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of each phrase: the texts of those used, and why the others have no effect."""

    used: tuple[str, ...]
    refused: tuple[Refusal, ...]


class Transcript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `data` of a transcription; duration in seconds, `provenance` says what made it.

    `complete` is false where sound of the recording is known to be missing; `warnings` say where.
    Results that earlier versions stored have neither.

    With diarize=true it has the `speakers` and their `turns`; with phrases it says in `phrases`
    which were used and which were refused.

    Of a job with summarize=true it has `summary`, as llm-server's /v1/summarize gives it, and
    `summary_error {code, message, remedy}`; one of them is null.
    """

    text: str
    segments: list[Segment]
    duration: float
    language: str
    coverage: Coverage
    provenance: dict[str, Any]
    complete: bool = True
    warnings: tuple[Notice, ...] = ()
    speakers: tuple[Speaker, ...] | None = None
    turns: tuple[Spoken, ...] | None = None
    phrases: PhraseReport | None = None
    summary: dict[str, Any] | None = None
    summary_error: dict[str, str] | None = None


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A successful answer."""

    success: Literal[True]
    data: Transcript
    error: None


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model in OpenAI's list shape; `created` is 0 because a digest, not a date, names it.

    `tasks` are those that the model does on this server's routes: none where it does not
    transcribe. `state` says whether it can serve now: "open" is loaded, "present" is loaded when
    it is asked for, "missing" lacks files, "unpinned" was never built. `sizes` are bytes by
    variant.
    """

    id: str
    version: str
    engine: str
    license: str
    languages: tuple[str, ...]
    aliases: tuple[str, ...]
    default: bool
    digests: dict[str, dict[str, str]]
    note: str
    role: str | None = None
    tasks: tuple[str, ...] = ()
    state: Literal["open", "present", "missing", "unpinned"] = "missing"
    sizes: dict[str, int] = {}
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "glagol"


class ModelList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's list shape with the manifest's version and digest."""

    data: list[ModelEntry]
    manifest_version: int
    manifest_sha256: str
    object: Literal["list"] = "list"
