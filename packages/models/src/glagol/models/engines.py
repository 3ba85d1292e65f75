"""What is known of an engine by its name: from the tables of families, loaded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.manifest.types import Role

__all__ = ["decoding_of", "is_built", "known", "role_of_engine", "usual_variants"]


def known(engine: str) -> bool:
    """Whether the artifacts of its models can be made here."""
    from glagol.forge.families.table import FAMILIES

    return engine in FAMILIES


def is_built(engine: str) -> bool:
    """Whether a builder makes the artifacts of its models; else they are upstream's own bytes."""
    from glagol.forge.families.table import FAMILIES

    return engine in FAMILIES and FAMILIES[engine].builder_version is not None


def usual_variants(engine: str) -> tuple[str, ...]:
    """Variant ids of a new entry that names none."""
    from glagol.forge.families.table import FAMILIES

    return FAMILIES[engine].variants if engine in FAMILIES else ("cpu-fp32",)


def role_of_engine(engine: str) -> Role | None:
    """What its models are for, as this program runs them; None when it cannot run them."""
    return _configs().get(engine, (None, None))[0]


def decoding_of(engine: str, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The decoding parameters of a new entry, every default written out.

    Args:
        engine: of the entry.
        given: what its author chose; the kind may be absent where the engine has only one.

    Raises:
        InputError: `option_invalid`, the parameters are not the engine's.
    """
    config = _configs().get(engine, (None, None))[1]
    if config is None:
        return None if given is None else dict(given)
    tag = getattr(getattr(config, "__struct_config__", None), "tag", None)
    chosen = {**({"kind": tag} if tag else {}), **(given or {})}
    try:
        return dict(msgspec.to_builtins(msgspec.convert(chosen, config)))
    except msgspec.ValidationError as error:
        raise InputError(
            "option_invalid",
            f"the decoding parameters do not fit the engine {engine}: {error}",
            "see another entry of the same engine in manifest.json",
        ) from error


def _configs() -> dict[str, tuple[Role, Any]]:
    from glagol.speech.engines.families import FAMILIES
    from glagol.speech.vad import families as vad

    found: dict[str, tuple[Role, Any]] = {
        name: ("asr", family.config) for name, family in FAMILIES.items()
    }
    return found | {name: ("vad", family.config) for name, family in vad.FAMILIES.items()}
