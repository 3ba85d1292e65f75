"""Properties of engines by name, from the tables of families, which are loaded on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Role

__all__ = ["is_built", "known", "purpose", "usual_variants"]


def known(engine: str) -> bool:
    """Whether this program can build the artifacts of the engine's models."""
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


def purpose(
    engine: str, role: str | None, kind: str | None, *, talker: str
) -> tuple[str | None, dict[str, Any] | None]:
    """Role and decoding parameters of a new entry.

    Args:
        engine: of the entry.
        role: that its author states; needed for an engine that this program cannot run.
        kind: of its decoding parameters; may be absent where the engine has only one.
        talker: the engine of language models.

    Returns:
        The role to state, None where the engine implies it, and the decoding parameters with every
        default written out.

    Raises:
        InputError: `option_invalid`, this program has no such engine and no role is stated, or the
            engine has another role or no such parameters.
    """
    implied, config = _configs(talker).get(engine, (None, None))
    if implied is None and role is None:
        raise InputError(
            "option_invalid",
            f"this program has no engine {engine!r}",
            f"use one of {', '.join(sorted(_configs(talker)))}, or state its role (--role) to add"
            " an entry for another version",
        )
    if implied is not None and role not in {None, implied}:
        raise InputError(
            "option_invalid",
            f"the engine {engine} is for {implied}, not for {role}",
            "leave the role out",
        )
    if config is None:
        return role, None if kind is None else {"kind": kind}
    tag = getattr(getattr(config, "__struct_config__", None), "tag", None)  # a union has none
    chosen = {} if (kind or tag) is None else {"kind": kind or tag}
    try:
        return None, dict(msgspec.to_builtins(msgspec.convert(chosen, config)))
    except msgspec.ValidationError as error:
        raise InputError(
            "option_invalid",
            f"the decoding parameters do not fit the engine {engine}: {error}",
            "see another entry of the same engine in manifest.json",
        ) from error


def _configs(talker: str) -> dict[str, tuple[Role, Any]]:
    """Role and form of the decoding parameters by engine."""
    from glagol.models.gpu_plan import Llm
    from glagol.speech.engines.families import FAMILIES
    from glagol.speech.speakers import families as speakers
    from glagol.speech.vad import families as vad

    found: dict[str, tuple[Role, Any]] = {talker: ("llm", Llm)}
    found |= {name: ("asr", family.config) for name, family in FAMILIES.items()}
    found |= {name: ("speakers", family.config) for name, family in speakers.FAMILIES.items()}
    return found | {name: ("vad", family.config) for name, family in vad.FAMILIES.items()}
