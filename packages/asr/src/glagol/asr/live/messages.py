"""The messages of a live stream; docs/reference/streaming.md is their description for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from glagol.core.errors import InputError
from glagol.speech.types import Numbers, Task

if TYPE_CHECKING:
    from glagol.speech.types import Segment, Transcript
    from glagol.web.errors import Fault

__all__ = [
    "CLOSE_BASE",
    "Finish",
    "Start",
    "done",
    "failed",
    "final",
    "partial",
    "read",
    "ready",
]

CLOSE_BASE: Final = 4000
"""The code that closes a failed stream is this plus the HTTP status of the error."""


class Start(msgspec.Struct, frozen=True, tag_field="type", tag="start", forbid_unknown_fields=True):
    """What a client may say before its audio; every field has a default.

    Attributes:
        encoding: Of the binary messages.
        rate: Hz, for raw samples.
        channels: Interleaved, for raw samples; their mean is taken.
        model: Model id or alias; empty means the default.
        language: BCP 47 tag or English name; auto or empty: the model chooses.
        word_timestamps: Whether finals carry words.
        partials: Whether guesses are sent.
        track: Which audio track of a container, from 0; None lets its flags decide.
        pause_ms: A pause of this many milliseconds ends a segment; None: the server's default.
        strict: Whether the stream fails when sound is missing or damaged.
        task: "translate" sends English text, where the model can.
        prompt: Text that is taken for what was said before, where the model takes one.
        phrases: That are expected, each with a weight if it has one: "word^2".
        numbers: "digits" writes numbers so, in finals; partials have words.
        redact: Mask numbers of telephones, cards and passports; then no partials are sent.
    """

    encoding: Literal["pcm_s16le", "ogg", "webm"] = "pcm_s16le"
    rate: Annotated[int, Meta(ge=8_000, le=192_000)] = 16_000
    channels: Annotated[int, Meta(ge=1, le=8)] = 1
    model: str = ""
    language: str = ""
    word_timestamps: bool = True
    partials: bool = True
    track: Annotated[int, Meta(ge=0, le=99)] | None = None
    pause_ms: Annotated[int, Meta(ge=200, le=5_000)] | None = None
    strict: bool = False
    task: Task = "transcribe"
    prompt: str = ""
    phrases: tuple[str, ...] = ()
    numbers: Numbers = "words"
    redact: bool = False


class Finish(
    msgspec.Struct, frozen=True, tag_field="type", tag="finish", forbid_unknown_fields=True
):
    """The audio is over: everything that is left becomes final."""


Message: TypeAlias = Start | Finish


def read(text: str) -> Message:
    """A client's text message.

    Raises:
        InputError: `request_invalid`.
    """
    try:
        message: Message = msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError as error:
        raise InputError(
            "request_invalid",
            f"the message is not understood: {error}",
            'send {"type":"start"}, audio as binary messages, then {"type":"finish"}',
        ) from error
    return message


def ready(request_id: str, model: str, language: str) -> bytes:
    """The stream is open; audio may have been sent before."""
    return _json("ready", request_id=request_id, model=model, language=language)


def partial(segment: Segment) -> bytes:
    """A guess at what is said since the last final; the next message replaces it."""
    return _json("partial", start=segment.start, end=segment.end, text=segment.text)


def final(segment: Segment) -> bytes:
    """A segment that will not change."""
    from glagol.speech.output.formats import segment_data

    return _json("final", segment=segment_data(segment))


def done(transcript: Transcript) -> bytes:
    """The end of a stream that went well: everything but the finals, which the client has."""
    from glagol.speech.output.formats import as_data

    data = as_data(transcript)
    kept: tuple[str, ...] = (
        "duration",
        "language",
        "coverage",
        "complete",
        "warnings",
        "provenance",
    )
    kept += ("phrases",) if "phrases" in data else ()
    return _json("done", **{name: data[name] for name in kept})


def failed(fault: Fault, request_id: str) -> bytes:
    """The end of a stream that went wrong."""
    about = {"code": fault.code, "message": fault.message, "remedy": fault.remedy}
    return _json("error", error={**about, "request_id": request_id})


def _json(kind: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"type": kind, **fields})
