"""Read and check the options of a transcription request, from query and form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, get_args

from glagol.asr.http import engine_options
from glagol.asr.http.engine_options import USUAL, EngineOptions
from glagol.asr.http.schemas import Channel
from glagol.core.errors import InputError
from glagol.registry.manifest.rules import role_of
from glagol.speech.output.formats import FORMATS
from glagol.speech.phrases.types import listed
from glagol.speech.speakers.types import Bounds

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry
    from glagol.speech.engines.base import Traits
    from glagol.speech.phrases.types import Phrase
    from glagol.speech.types import Numbers, Task, WindowRule

__all__ = [
    "NAMES",
    "SPEAKER_NAMES",
    "OptionError",
    "RequestOptions",
    "granted",
    "language_of",
    "merge",
    "model_of",
    "one_of",
    "phrases_of",
    "read",
    "speakers_of",
    "track_of",
    "traits_of",
    "transcribes",
    "translates",
    "truth",
]

SPEAKER_NAMES: Final = ("num_speakers", "min_speakers", "max_speakers")
NAMES: Final = (
    "model",
    "language",
    "word_timestamps",
    "format",
    "channel",
    "track",
    "strict",
    "diarize",
    *SPEAKER_NAMES,
    "async",
    "webhook_url",
    "summarize",
    "upload",
    *engine_options.NAMES,
)
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


class OptionError(InputError):
    """`option_invalid` with the name of the wrong parameter.

    Args:
        parameter: Name of the parameter as the caller gave it.
        message: What is wrong with it.
        remedy: What to do about it.
    """

    def __init__(self, parameter: str, message: str, remedy: str) -> None:
        super().__init__("option_invalid", message, remedy)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The checked options of a transcription request.

    Attributes:
        model: The manifest entry of the model.
        language: BCP 47 tag as the model writes it; "auto" where the engine detects it.
        word_timestamps: Whether segments carry words.
        format: Name of the response's format.
        channel: Whether channels are mixed or each is transcribed alone.
        track: Which audio track, from 0; None lets the container's flags decide.
        strict: Whether a recording with missing audio is refused.
        speakers: How many people may speak; None means no diarization.
        deferred: Whether to respond with a job instead of the transcript.
        webhook_url: Receiver of the webhook when that job ends; empty means none.
        summarize: Whether that job's result has a summary.
        upload: Id of a finished resumable upload that replaces the body; empty means none.
        engine: Further options of the engine.
    """

    model: Model
    language: str
    word_timestamps: bool
    format: str
    channel: Channel = "mix"
    track: int | None = None
    strict: bool = False
    speakers: Bounds | None = None
    deferred: bool = False
    webhook_url: str = ""
    summarize: bool = False
    upload: str = ""
    engine: EngineOptions = USUAL


def merge(query: Mapping[str, list[str]], form: Mapping[str, list[str]]) -> dict[str, str]:
    """Merge the options of query and form; each may have one value.

    Raises:
        OptionError: `option_invalid`, unknown or given twice.
    """
    merged: dict[str, str] = {}
    given = [*query.items(), *form.items()]
    for name, value in [(name, value) for name, values in given for value in values]:
        if name not in NAMES:
            raise OptionError(
                name[:64], f"there is no option {name[:64]!r}", f"known are {', '.join(NAMES)}"
            )
        if name in merged:
            raise OptionError(name, f"the option {name} is given twice", "give it once")
        merged[name] = value.strip()
    return merged


def read(options: Mapping[str, str], registry: Registry, default: str) -> RequestOptions:
    """Check `options` against the manifest.

    Args:
        options: By name; an empty value counts as not given.
        registry: The manifest's models.
        default: Id of the model if the caller names none.

    Raises:
        OptionError: `option_invalid`.
        InputError: `model_unknown`.
        HostError: `speakers_missing`.
    """
    model = model_of(options.get("model") or default, registry)
    language = language_of(options.get("language") or "", model)
    webhook_url = options.get("webhook_url") or ""
    diarize = truth(options, "diarize")
    channel = cast("Channel", one_of(options, "channel", get_args(Channel)))
    if diarize and channel == "split":
        raise OptionError(
            "diarize",
            "diarize does not go with channel=split: each channel is a speaker already",
            "leave diarize out, or use channel=mix",
        )
    form = one_of(options, "format", tuple(FORMATS))
    if form == "rttm" and not diarize and channel == "mix":
        raise OptionError("format", "rttm says who speaks when", "add diarize=true")
    summarize = truth(options, "summarize")
    return RequestOptions(
        model,
        language,
        truth(options, "word_timestamps", "true"),
        form,
        channel,
        track_of(options),
        truth(options, "strict"),
        speakers_of(options, registry, diarize=diarize),
        truth(options, "async") or bool(webhook_url) or summarize,
        webhook_url,
        summarize,
        options.get("upload") or "",
        _engine(options, model),
    )


def _engine(options: Mapping[str, str], model: Model) -> EngineOptions:
    window = options.get("window") or ""
    asked = EngineOptions(
        task=cast("Task", one_of(options, "task", engine_options.TASKS)),
        window=cast("WindowRule", one_of(options, "window", engine_options.WINDOWS))
        if window
        else None,
        prompt=options.get("prompt") or "",
        phrases=phrases_of("phrases", (options.get("phrases") or "").splitlines()),
        numbers=cast("Numbers", one_of(options, "numbers", engine_options.NUMBERS)),
        redact=truth(options, "redact"),
    )
    return granted(asked, model)


def granted(asked: EngineOptions, model: Model) -> EngineOptions:
    """Check that `model` supports all of `asked`; returns `asked`.

    Raises:
        OptionError: `option_invalid`, naming the first option that is not supported.
    """
    for name, remedy in asked.refused(traits_of(model)).items():
        raise OptionError(name, f"{model.id} does not take this {name}", remedy)
    return asked


def phrases_of(parameter: str, lines: Sequence[str]) -> tuple[Phrase, ...]:
    """Parse expected phrases, one per line; see `glagol.speech.phrases.types.listed`.

    Raises:
        OptionError: `option_invalid`, naming the parameter; there are too many.
    """
    try:
        return listed(lines)
    except InputError as error:
        raise OptionError(parameter, error.message, error.remedy) from error


def truth(options: Mapping[str, str], name: str, default: str = "false") -> bool:
    """Parse an option that is true or false.

    Raises:
        OptionError: `option_invalid`, it is neither true nor false.
    """
    value = options.get(name) or default
    if value.lower() not in _TRUTH:
        raise OptionError(name, f"{name}={value[:16]!r} is not true or false", "use true or false")
    return _TRUTH[value.lower()]


def track_of(options: Mapping[str, str]) -> int | None:
    """The number of the audio track; None when it is not given.

    Raises:
        OptionError: `option_invalid`, it is not a number from 0 to 99.
    """
    value = options.get("track") or ""
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 2):
        raise OptionError("track", f"track={value[:16]!r} is no number of a track", "use 0 to 99")
    return int(value)


def speakers_of(options: Mapping[str, str], registry: Registry, *, diarize: bool) -> Bounds | None:
    """How many people may speak; None without diarization.

    Raises:
        OptionError: `option_invalid`, a value is no number, out of range, or without `diarize`.
        HostError: `speakers_missing`, the diarization model is not in the store.
    """
    numbers: dict[str, int | None] = dict.fromkeys(SPEAKER_NAMES)
    for name in SPEAKER_NAMES:
        value = options.get(name) or ""
        if not value:
            continue
        if not (value.isascii() and value.isdigit() and len(value) <= 4):
            raise OptionError(name, f"{name}={value[:16]!r} is no number", "use 1 to 20")
        numbers[name] = int(value)
    try:
        bounds = Bounds.asked(
            diarize=diarize,
            number=numbers["num_speakers"],
            least=numbers["min_speakers"],
            most=numbers["max_speakers"],
        )
    except InputError as error:
        first = next(name for name in SPEAKER_NAMES if numbers[name] is not None)
        raise OptionError(first, error.message, error.remedy) from error
    if bounds is not None:
        from glagol.speech.speakers.families import located

        located(registry)
    return bounds


def one_of(options: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """The option's value; the first of `known` if it is not given.

    Raises:
        OptionError: `option_invalid`, the value is not in `known`.
    """
    value = options.get(name) or known[0]
    if value not in known:
        raise OptionError(name, f"{name}={value[:16]!r} is unknown", f"use {', '.join(known)}")
    return value


def model_of(name: str, registry: Registry) -> Model:
    """The model that an id or alias names, if it transcribes.

    Raises:
        OptionError: `option_invalid`, it does something else.
        InputError: `model_unknown`, there is no such model, or this release lacks its engine.
    """
    from glagol.speech.engines.families import family_of

    model = registry.model(name)
    if role_of(model) != "asr":
        raise OptionError(
            "model", f"{model.id} does not transcribe", "choose one from GET /v1/models"
        )
    family_of(model)
    return model


def language_of(tag: str, model: Model) -> str:
    """Resolve `tag` to a language tag of the model; see `glagol.speech.language`.

    Raises:
        OptionError: `option_invalid`, the model does not support it.
    """
    from glagol.speech.pipeline import options

    try:
        return options.language_of(tag, model.id, traits_of(model))
    except InputError as error:
        raise OptionError("language", error.message, error.remedy) from error


def traits_of(model: Model) -> Traits:
    """The capabilities of a transcription model, from the manifest alone.

    Raises:
        IntegrityError: `manifest_invalid`, its parameters are not valid for its engine.
    """
    from glagol.speech.engines.families import family_of

    return family_of(model).describe(model)


def transcribes(model: Model) -> bool:
    """Whether a model transcribes with an engine of this release."""
    from glagol.speech.engines.families import FAMILIES

    return role_of(model) == "asr" and model.engine in FAMILIES


def translates(model: Model) -> bool:
    """Whether a model transcribes with an engine of this release, and can translate."""
    return transcribes(model) and traits_of(model).translates
