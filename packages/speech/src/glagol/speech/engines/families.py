"""The families of recognisers that this program knows: one row for each."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from glagol.core.errors import InputError
from glagol.speech.engines.gigaam.family import FAMILY as GIGAAM
from glagol.speech.engines.whisper.family import FAMILY as WHISPER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel
    from glagol.runtime.options import Runtime
    from glagol.speech.engines.base import Family, TranscriptionEngine

__all__ = ["FAMILIES", "family_of", "load"]

_ROWS: Final[tuple[Family, ...]] = (GIGAAM, WHISPER)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.name: family for family in _ROWS})
"""By the manifest's `engine`."""


def family_of(model: Model, families: Mapping[str, Family] = FAMILIES) -> Family:
    """The family that runs a model.

    Raises:
        InputError: `model_unknown`, none of them transcribes with the model's engine.
    """
    if model.engine not in families:
        raise InputError(
            "model_unknown",
            f"{model.id} has the engine {model.engine!r}, with which this program cannot"
            " transcribe",
            f"choose a model of one of the engines {', '.join(sorted(families))}:"
            " glagol models list",
        )
    return families[model.engine]


def load(
    opened: OpenModel, runtime: Runtime, families: Mapping[str, Family] = FAMILIES
) -> TranscriptionEngine:
    """Create the engine of a verified model.

    Raises:
        InputError: `model_unknown`, as `family_of`; `option_invalid`, as `Family.load`.
        HostError, IntegrityError: as `Family.load`.
    """
    return family_of(opened.model, families).load(opened, runtime)
