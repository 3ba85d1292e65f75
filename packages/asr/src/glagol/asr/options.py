"""The options of a transcription request, from query and form: known, in range, given once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, get_args

from glagol.asr.wire import Format
from glagol.registry.errors import InputError

if TYPE_CHECKING:
    from glagol.registry.entries import Model
    from glagol.registry.registry import Registry

__all__ = ["NAMES", "Wish", "merge", "read"]

NAMES: Final = ("model", "language", "word_timestamps", "format")
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
_ASR_ENGINES: Final = frozenset({"gigaam", "whisper"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asked for.

    Attributes:
        model: The manifest entry that will serve.
        language: BCP 47 tag.
        word_timestamps: Whether segments carry words.
        format: Of the answer.
    """

    model: Model
    language: str
    word_timestamps: bool
    format: Format


def merge(query: Mapping[str, list[str]], form: Mapping[str, str]) -> dict[str, str]:
    """One value per option.

    Raises:
        InputError: `option_invalid`, unknown or given twice.
    """
    merged: dict[str, str] = {}
    pairs = [(name, value) for name, values in query.items() for value in values]
    for name, value in [*pairs, *form.items()]:
        if name not in NAMES:
            raise _invalid(f"there is no option {name[:64]!r}", f"known are {', '.join(NAMES)}")
        if name in merged:
            raise _invalid(f"the option {name} is given twice", "give it once")
        merged[name] = value.strip()
    return merged


def read(options: Mapping[str, str], registry: Registry, default: str) -> Wish:
    """Check `options` against the manifest.

    Args:
        options: By name; an empty value counts as not given.
        registry: Knows the models.
        default: Model id when none is asked for.

    Raises:
        InputError: `option_invalid` or `model_unknown`.
    """
    model = registry.model(options.get("model") or default)
    if model.engine not in _ASR_ENGINES:
        raise _invalid(f"{model.id} does not transcribe", "choose one from GET /v1/models")
    known = model.languages or ("ru",)
    language = options.get("language") or known[0]
    if language not in known:
        raise _invalid(
            f"{model.id} does not know the language {language[:16]!r}",
            f"use one of {', '.join(known)}",
        )
    words = options.get("word_timestamps") or "true"
    if words.lower() not in _TRUTH:
        raise _invalid(f"word_timestamps={words[:16]!r} is not true or false", "use true or false")
    form = options.get("format") or "json"
    if form not in get_args(Format):
        raise _invalid(f"format={form[:16]!r} is unknown", f"use {', '.join(get_args(Format))}")
    return Wish(model, language, _TRUTH[words.lower()], cast("Format", form))


def _invalid(message: str, remedy: str) -> InputError:
    return InputError("option_invalid", message, remedy)
