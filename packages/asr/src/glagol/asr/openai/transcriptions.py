"""`POST /v1/audio/transcriptions` and `translations`: OpenAI's fields, formats, events and errors.

A field that would change the result and is not supported is refused by name, so that no client
believes that it worked. With ASR_OPENAI_LENIENT=on it is left out instead, the default serves for a
model that we do not have, and the header `glagol-ignored` lists both. The answer carries our
provenance beside OpenAI's fields; nothing is made up. A translation is into English, by a model
that can; its `language` is that of the recording, which OpenAI's route detects, and may be given
here.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from litestar import post
from litestar.response import Response

from glagol.asr.http import steps
from glagol.asr.http.engine_options import NUMBERS, USUAL, WINDOWS, EngineOptions
from glagol.asr.http.models import state_of
from glagol.asr.http.openapi import OpenaiOperation, openai_responses
from glagol.asr.http.options import (
    SPEAKER_NAMES,
    OptionError,
    language_of,
    model_of,
    one_of,
    phrases_of,
    speakers_of,
    track_of,
    traits_of,
    translates,
)
from glagol.asr.http.request import AsrRequest, service_of
from glagol.asr.openai import streaming
from glagol.asr.openai.diarized import diarized
from glagol.asr.openai.forms import DIARIZED, FORMS, STREAMED, VERBOSE, media_type
from glagol.core.errors import InputError
from glagol.speech.output import notices
from glagol.speech.output.formats import FORMATS, JSON
from glagol.speech.output.provenance import provenance_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.asr.http.request import Service
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry
    from glagol.speech.speakers.types import Bounds
    from glagol.speech.types import Numbers, Task, Transcript, WindowRule

__all__ = ["HANDLERS", "TranscriptionRequest", "read"]

STAND_IN: Final = "whisper-1"
"""The model name that OpenAI's tools send by default; it means the default model here."""

_SINGLE: Final = frozenset(
    ["model", "language", "prompt", "response_format", "stream", "temperature", "track", "strict"]
    + ["window", "numbers", "redact", "chunking_strategy", *SPEAKER_NAMES]
)
_LISTS: Final = frozenset({"timestamp_granularities", "keywords"})
_GRANULARITIES: Final = frozenset({"word", "segment"})
_UNSUPPORTED: Final = frozenset(
    ["include", "languages"] + ["known_speaker_names", "known_speaker_references"]
)
_LEAVE: Final = "leave it out"
_UNPLAIN: Final = re.compile(r"[^A-Za-z0-9_./=:-]")
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """What the caller asked for.

    Attributes:
        model: The manifest entry that will serve.
        language: BCP 47 tag.
        form: Of the answer, one of `forms.FORMS`.
        granularities: What verbose_json tells times of: "word", "segment".
        streamed: Whether the answer comes as events.
        track: Which audio track, from 0; None lets the container's flags decide.
        strict: Whether a recording that lacks something is refused.
        speakers: How many people may speak; None leaves speakers out.
        engine: What is asked of the engine beside the language.
        ignored: Fields and models that were asked for and left out, for people.
    """

    model: Model
    language: str
    form: str
    granularities: frozenset[str]
    streamed: bool
    track: int | None = None
    strict: bool = False
    speakers: Bounds | None = None
    engine: EngineOptions = USUAL
    ignored: tuple[str, ...] = ()


def read(
    fields: Mapping[str, list[str]],
    registry: Registry,
    default: str,
    *,
    lenient: bool = False,
    task: Task = "transcribe",
) -> TranscriptionRequest:
    """Check the form's fields; an empty value counts as not given.

    Args:
        fields: By name; names of lists may end in [].
        registry: Knows the models.
        default: Model id when none is asked for, or `whisper-1`.
        lenient: Leave out what is unknown or not supported, and serve the default for a model
            that there is not.
        task: Of the route.

    Raises:
        OptionError: `option_invalid`, naming the field.
        InputError: `model_unknown`.
        HostError: `speakers_missing`.
    """
    ignored: list[str] | None = [] if lenient else None
    given = _by_name(fields, ignored)
    single = {name: given[name][0] for name in given if name in _SINGLE}
    model = _model(single.get("model", ""), registry, default, ignored)
    keywords = phrases_of("keywords", given.get("keywords", []))
    engine = _engine(single, model, EngineOptions(task=task, phrases=keywords), ignored)
    form = single.get("response_format", "json")
    if form not in FORMS:
        known = ", ".join(FORMS)
        raise OptionError("response_format", f"response_format={form[:16]!r}", f"use {known}")
    if (chunking := single.get("chunking_strategy", "auto")) != "auto":
        wrong = f"chunking_strategy={chunking[:16]!r} is not supported"
        _leave(ignored, OptionError("chunking_strategy", wrong, "leave it out, or use auto"))
    streamed = _truth(single, "stream")
    if streamed and form not in STREAMED:
        raise OptionError(
            "response_format",
            f"{form} cannot be streamed",
            f"use {', '.join(STREAMED)}, or stream=false",
        )
    return TranscriptionRequest(
        model,
        language_of(single.get("language", ""), model),
        form,
        _granularities(given.get("timestamp_granularities", []), form),
        streamed,
        track_of(single),
        _truth(single, "strict"),
        speakers_of(single, registry, diarize=form == DIARIZED),
        engine,
        tuple(ignored or ()),
    )


def _truth(single: Mapping[str, str], name: str) -> bool:
    value = single.get(name, "false").lower()
    if value not in ("true", "false"):
        raise OptionError(name, f"{name}={value[:16]!r}", "use true or false")
    return value == "true"


def _by_name(fields: Mapping[str, list[str]], ignored: list[str] | None) -> dict[str, list[str]]:
    """Values that are not empty, by name without []; every name is one that we obey."""
    given: dict[str, list[str]] = {}
    for raw, values in fields.items():
        name = raw.removesuffix("[]")
        found = [value.strip() for value in values if value.strip()]
        if name not in _SINGLE | _UNSUPPORTED | _LISTS:
            _leave(ignored, OptionError(raw[:64], f"there is no field {raw[:64]!r}", _LEAVE))
        elif found and name in _UNSUPPORTED:
            _leave(ignored, OptionError(name, f"{name} is not supported", _LEAVE))
        elif found:
            given[name] = given.get(name, []) + found
    for name in _SINGLE & given.keys():
        if len(given[name]) > 1:
            raise OptionError(name, f"{name} is given twice", "give it once")
    return given


def _leave(ignored: list[str] | None, error: OptionError) -> None:
    """Leave a field out and note its name, where that is allowed."""
    if ignored is None:
        raise error
    ignored.append(error.parameter)


def _model(name: str, registry: Registry, default: str, ignored: list[str] | None) -> Model:
    """The model of that name; `STAND_IN` is the default unless a preset has that name."""
    try:
        return model_of(name or default, registry)
    except InputError as error:
        if error.code != "model_unknown" or (name != STAND_IN and ignored is None):
            raise
        if name != STAND_IN and ignored is not None:
            ignored.append(f"model={name}")
        return model_of(default, registry)


def _engine(
    single: Mapping[str, str], model: Model, asked: EngineOptions, ignored: list[str] | None
) -> EngineOptions:
    """What is asked of the engine, as the model takes it; the task is never left out.

    `asked` has the task and the keywords.
    """
    try:
        temperature = float(single.get("temperature", "0"))
    except ValueError:
        temperature = math.nan
    window = single.get("window")
    asked = msgspec.structs.replace(
        asked,
        window=cast("WindowRule", one_of(single, "window", WINDOWS)) if window else None,
        prompt=single.get("prompt", ""),
        temperature=temperature,
        numbers=cast("Numbers", one_of(single, "numbers", NUMBERS)),
        redact=_truth(single, "redact"),
    )
    wrong = asked.refused(traits_of(model))
    if "task" in wrong:
        raise OptionError("model", f"{model.id} does not translate", wrong["task"])
    for option, remedy in wrong.items():
        name = "keywords" if option == "phrases" else option
        _leave(ignored, OptionError(name, f"{model.id} does not take this {name}", remedy))
    kept = {
        name: value for name, value in msgspec.structs.asdict(asked).items() if name not in wrong
    }
    return EngineOptions(**kept)


def _granularities(values: list[str], form: str) -> frozenset[str]:
    wanted = frozenset(values)
    if not wanted <= _GRANULARITIES:
        unknown = min(wanted - _GRANULARITIES)
        raise OptionError(
            "timestamp_granularities",
            f"there is no timestamp granularity {unknown[:16]!r}",
            "use word, segment or both",
        )
    if wanted and form != VERBOSE:
        raise OptionError(
            "timestamp_granularities",
            f"response_format={form} has no timestamps to choose",
            "use response_format=verbose_json",
        )
    return wanted or frozenset({"segment"})


@post(
    "/v1/audio/transcriptions",
    status_code=200,
    summary="Transcribe as OpenAI does",
    operation_class=OpenaiOperation,
    responses=openai_responses(),
)
async def transcriptions(request: AsrRequest) -> Response[Any]:
    """Multipart form as OpenAI's clients send it; `file` is the audio.

    Raises:
        OptionError: `option_invalid`; and every error of our own transcription route.
    """
    return await _answer(request, service_of(request).default, "transcribe")


@post(
    "/v1/audio/translations",
    status_code=200,
    summary="Translate into English as OpenAI does",
    operation_class=OpenaiOperation,
    responses=openai_responses(),
)
async def translations(request: AsrRequest) -> Response[Any]:
    """The same form; the text is English. Where the default cannot, a model that can serves.

    Raises:
        OptionError: `option_invalid`, the model does not translate; and as `transcriptions`.
    """
    return await _answer(request, _translator(service_of(request)), "translate")


async def _answer(request: AsrRequest, default: str, task: Task) -> Response[Any]:
    for name in request.query_params:
        raise OptionError(name[:64], f"there is no option {name[:64]!r}", "use form fields")
    steps.check_announced(request, form=True)
    service = service_of(request)
    steps.admit(request, default)
    body = await steps.spooled(request, form=True)
    with steps.held(body.file):
        lenient = service.settings.openai_lenient == "on"
        ask = read(body.fields, service.registry, default, lenient=lenient, task=task)
    box = streaming.EventBuffer(asyncio.get_running_loop())
    job = await steps.enqueue(request, body, _order(ask, box))
    headers = {"glagol-model": ask.model.id, **_ignored(ask)}
    if ask.streamed:
        return await streaming.respond(request, job, box, headers)
    transcript, answer = await steps.wait(request, job)
    headers |= notices.header(transcript.warnings)
    return Response(answer, media_type=media_type(ask.form), headers=headers)


def _translator(service: Service) -> str:
    """The model that translates when none is named: the default, or an engine's default that can.

    An engine's default is the model that has the engine's name as an alias; it counts only where it
    can serve.
    """
    registry = service.registry
    default = registry.model(service.default)
    named = (
        each
        for each in registry.manifest.models
        if each.engine in each.aliases and state_of(each, service) in {"open", "present"}
    )
    able = (each.id for each in (default, *named) if translates(each))
    return next(able, service.default)


def _order(ask: TranscriptionRequest, box: streaming.EventBuffer) -> steps.Order:
    return steps.Order(
        ask.model.id,
        ask.language,
        functools.partial(_event if ask.streamed else _render, ask),
        track=ask.track,
        strict=ask.strict,
        speakers=ask.speakers,
        on_segment=box.put if ask.streamed else None,
        engine=ask.engine,
    )


def _ignored(ask: TranscriptionRequest) -> dict[str, str]:
    """The header that says what was left out; a client's own words are shortened and plain."""
    shown = [_UNPLAIN.sub("?", each[:_SHOWN]) for each in ask.ignored[:_SHOWN]]
    return {"glagol-ignored": ", ".join(shown)} if shown else {}


def _render(ask: TranscriptionRequest, transcript: Transcript) -> bytes:
    if ask.form == DIARIZED:
        return msgspec.json.encode(diarized(transcript, _ours(transcript)))
    if ask.form not in (JSON, VERBOSE):
        return FORMATS[ask.form].write(transcript)
    usage = {"type": "duration", "seconds": transcript.duration_s}
    if ask.form == VERBOSE:
        return msgspec.json.encode({**_verbose(ask, transcript), "usage": usage})
    return msgspec.json.encode({"text": transcript.text, "usage": usage, **_ours(transcript)})


def _event(ask: TranscriptionRequest, transcript: Transcript) -> bytes:
    """What the last event holds; its `usage` would be in tokens, which we do not count."""
    if ask.form == VERBOSE:
        return msgspec.json.encode(_verbose(ask, transcript))
    return msgspec.json.encode({"text": transcript.text, **_ours(transcript)})


def _ours(transcript: Transcript) -> dict[str, Any]:
    """What stands beside OpenAI's fields."""
    return {
        "complete": transcript.complete,
        "warnings": transcript.warnings,
        "provenance": provenance_data(transcript),
    }


def _verbose(ask: TranscriptionRequest, transcript: Transcript) -> dict[str, Any]:
    """OpenAI's scores (no_speech_prob and the like) are absent: not every engine has them."""
    found: dict[str, Any] = {
        "task": ask.engine.task,
        "language": transcript.language,
        "duration": transcript.duration_s,
        "text": transcript.text,
    }
    if "segment" in ask.granularities:
        found["segments"] = [
            {"id": at, "start": s.start, "end": s.end, "text": s.text, "temperature": 0.0}
            for at, s in enumerate(transcript.segments)
        ]
    if "word" in ask.granularities:
        found["words"] = [
            {"word": word.text, "start": word.start, "end": word.end}
            for segment in transcript.segments
            for word in segment.words
        ]
    return {**found, **_ours(transcript)}


HANDLERS: Final = [transcriptions, translations]
