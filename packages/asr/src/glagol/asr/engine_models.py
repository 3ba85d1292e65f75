"""Which model serves a request that names an engine: the operator's choice for this server."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from glagol.registry.registry import Registry

__all__ = ["ENGINES_TAKE", "parse", "pointed"]

ENGINES_TAKE: Final = (
    "ENGINE=MODEL, separated by commas",
    "ДВИЖОК=МОДЕЛЬ через запятую",
)
_PAIR: Final = re.compile(r"([a-z0-9][a-z0-9.-]*)=([A-Za-z0-9][A-Za-z0-9._/-]*)")


def parse(text: str) -> str:
    """The text in its usual spelling: pairs without spaces, each engine once.

    Raises:
        ValueError: It is no list of pairs, or an engine is there twice.
    """
    pairs = [each.strip() for each in text.split(",")]
    found = [_PAIR.fullmatch(each) for each in pairs]
    if not all(found) or len({each[1] for each in found if each}) != len(pairs):
        raise ValueError(text)
    return ",".join(pairs)


def pointed(registry: Registry, chosen: str) -> Registry:
    """The registry in which each engine's name is an alias of the model that was chosen for it.

    Args:
        registry: As the manifest has it; it is not changed.
        chosen: As `parse` gives it; empty for no choice.

    Raises:
        InputError: `setting_invalid`, there is no such model, it is not of that engine, or this
            program does not transcribe by it.
    """
    from glagol.registry.manifest import edit
    from glagol.speech.engines.families import family_of

    manifest = registry.manifest
    for engine, _, name in (pair.partition("=") for pair in chosen.split(",") if pair):
        try:
            model = registry.model(name)
            family_of(model)
            if model.engine != engine:
                raise InputError(
                    "option_invalid",
                    f"{model.id} is a model of the engine {model.engine}",
                    "choose a model of that engine: glagol models list",
                )
            if engine not in model.aliases:
                manifest = edit.preset(manifest, model.id, engine)
        except InputError as error:
            raise InputError(
                "setting_invalid", f"ASR_DEFAULT_MODELS={chosen!r}: {error.message}", error.remedy
            ) from error
    # a choice of this process: the answers name the manifest that lies on the disk
    version = registry.manifest.manifest_version
    return replace(registry, manifest=msgspec.structs.replace(manifest, manifest_version=version))
