"""The parts of the OpenAPI document that handlers which read the body by hand cannot declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)

from glagol.asr.http.engine_options import NUMBERS, TASKS, WINDOWS
from glagol.asr.http.schemas import Channel
from glagol.asr.openai.forms import FORMS
from glagol.speech.output.formats import FORMATS
from glagol.speech.phrases.types import PHRASES_MAX, WEIGHT_MAX, WEIGHT_MIN
from glagol.speech.pipeline.options import PROMPT_MAX
from glagol.speech.speakers.types import PEOPLE_MAX
from glagol.web import envelope, errors

__all__ = ["FormOperation", "OpenaiOperation", "RawOperation", "openai_responses"]


def _people(description: str) -> Schema:
    return Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=PEOPLE_MAX, description=description)


_OPTIONS: Final = {
    "model": Schema(type=OpenAPIType.STRING, description="Model id or alias"),
    "language": Schema(
        type=OpenAPIType.STRING,
        description="BCP 47 tag or English name in any case; auto or empty: the model chooses",
    ),
    "word_timestamps": Schema(type=OpenAPIType.BOOLEAN, default=True),
    "format": Schema(type=OpenAPIType.STRING, enum=list(FORMATS), default="json"),
    "channel": Schema(
        type=OpenAPIType.STRING,
        enum=list(get_args(Channel)),
        default="mix",
        description="split transcribes each channel alone (at most 8); segments say which",
    ),
    "track": Schema(
        type=OpenAPIType.INTEGER,
        minimum=0,
        maximum=99,
        description="Audio track, from 0; else the container's default, else the first decodable",
    ),
    "strict": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="Refuse a recording that lacks something instead of warning about it",
    ),
    "diarize": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="Say who speaks: words and segments get a speaker",
    ),
    "num_speakers": _people("How many people speak, where it is known; with diarize"),
    "min_speakers": _people("At least so many people speak; with diarize"),
    "max_speakers": _people("At most so many people speak; with diarize"),
    "async": Schema(
        type=OpenAPIType.BOOLEAN, default=False, description="Answer 202 with a job at once"
    ),
    "webhook_url": Schema(
        type=OpenAPIType.STRING,
        max_length=2048,
        description="URL that gets a webhook when the job ends; means async=true",
    ),
    "summarize": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="The result carries a summary by llm-server; means async=true",
    ),
    "upload": Schema(
        type=OpenAPIType.STRING,
        pattern="^[0-9a-f]{32}$",
        description="Id of a finished resumable upload; then no file is sent",
    ),
    "task": Schema(
        type=OpenAPIType.STRING,
        enum=list(TASKS),
        default=TASKS[0],
        description="translate gives English text, where the model can",
    ),
    "window": Schema(
        type=OpenAPIType.STRING,
        enum=list(WINDOWS),
        description="cropped reads the speech and a margin, full whole windows, which is slower;"
        " where the model searches for its text. Not given: the model's own",
    ),
    "prompt": Schema(
        type=OpenAPIType.STRING,
        max_length=PROMPT_MAX,
        description="What was said before; where the model takes it",
    ),
    "phrases": Schema(
        type=OpenAPIType.STRING,
        description="Words that are expected, one phrase a line, at most"
        f" {PHRASES_MAX}; a weight of {WEIGHT_MIN:g} to {WEIGHT_MAX:g} may follow: word^2",
    ),
    "numbers": Schema(
        type=OpenAPIType.STRING,
        enum=list(NUMBERS),
        default=NUMBERS[0],
        description="digits writes numbers of Russian speech in digits; words keep what was said",
    ),
    "redact": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="Mask numbers of telephones, cards and passports",
    ),
}
_BINARY: Final = Schema(
    type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Audio or video"
)


def _query() -> list[Parameter | Reference]:
    key = Schema(type=OpenAPIType.STRING, min_length=1, max_length=255)
    return [
        *(Parameter(name=name, param_in="query", schema=of) for name, of in _OPTIONS.items()),
        Parameter(
            name="Idempotency-Key",
            param_in="header",
            schema=key,
            description="With async: the same key and request give the same job",
        ),
    ]


def _form_body() -> RequestBody:
    form = Schema(
        type=OpenAPIType.OBJECT, properties={"file": _BINARY, **_OPTIONS}, required=["file"]
    )
    return RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=form)})


def _raw_body() -> RequestBody:
    return RequestBody(content={"application/octet-stream": OpenAPIMediaType(schema=_BINARY)})


@dataclass
class FormOperation(Operation):
    """POST: the audio and its options as a form."""

    def __post_init__(self) -> None:
        self.parameters, self.request_body = _query(), _form_body()


@dataclass
class RawOperation(Operation):
    """PUT: the audio as the body, its options in the query."""

    def __post_init__(self) -> None:
        self.parameters, self.request_body = _query(), _raw_body()


@dataclass
class OpenaiOperation(Operation):
    """POST: the form of OpenAI's clients."""

    def __post_init__(self) -> None:
        form = Schema(
            type=OpenAPIType.OBJECT,
            properties={"file": _BINARY, **_OPENAI},
            required=["file"],
        )
        self.request_body = RequestBody(
            content={"multipart/form-data": OpenAPIMediaType(schema=form)}
        )


def openai_responses() -> dict[int, ResponseSpec]:
    """The errors of OpenAI's routes by status."""
    return errors.responses(
        {
            400: "A field is wrong or not supported",
            404: "There is no such model",
            413: "The file or the audio is over the limit",
            415: "The bytes are not audio",
            422: "The audio cannot be transcribed",
            429: "The queue is full; see Retry-After",
            503: "No model, or the server is stopping",
        },
        envelope.OpenaiFailure,
    )


_OPENAI: Final = {
    "model": Schema(
        type=OpenAPIType.STRING, description="Model id or alias; whisper-1 means the default"
    ),
    "language": _OPTIONS["language"],
    "response_format": Schema(
        type=OpenAPIType.STRING,
        enum=list(FORMS),
        default="json",
    ),
    "timestamp_granularities[]": Schema(
        type=OpenAPIType.ARRAY,
        items=Schema(type=OpenAPIType.STRING, enum=["word", "segment"]),
        description="With verbose_json",
    ),
    "stream": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="Events transcript.text.delta and transcript.text.done",
    ),
    "prompt": _OPTIONS["prompt"],
    "keywords[]": Schema(
        type=OpenAPIType.ARRAY,
        items=Schema(type=OpenAPIType.STRING),
        description="As phrases of POST /v1/transcribe, one each",
    ),
    "window": _OPTIONS["window"],
    "numbers": _OPTIONS["numbers"],
    "redact": _OPTIONS["redact"],
    "temperature": Schema(
        type=OpenAPIType.NUMBER,
        minimum=0,
        maximum=1,
        description="Above 0 only where the model takes it",
    ),
    "track": _OPTIONS["track"],
    "strict": _OPTIONS["strict"],
    "num_speakers": _OPTIONS["num_speakers"],
    "min_speakers": _OPTIONS["min_speakers"],
    "max_speakers": _OPTIONS["max_speakers"],
    "chunking_strategy": Schema(type=OpenAPIType.STRING, enum=["auto"]),
}
