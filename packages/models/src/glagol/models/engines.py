"""Look up properties of engines by name; the tables of families are imported on demand."""

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
    """Whether a builder makes the artifacts of its models; else they are upstream's own files."""
    from glagol.forge.families.table import FAMILIES

    return engine in FAMILIES and FAMILIES[engine].builder_version is not None


def usual_variants(engine: str) -> tuple[str, ...]:
    """Ids of the variants that a new entry gets when none are named."""
    from glagol.forge.families.table import FAMILIES

    return FAMILIES[engine].variants if engine in FAMILIES else ("cpu-fp32",)


def purpose(
    engine: str, role: str | None, kind: str | None, *, talker: str
) -> tuple[str | None, dict[str, Any] | None]:
    """Choose the role and the decoding parameters of a new entry.

    Args:
        engine: the entry's engine.
        role: the role that the entry's author states; needed for an engine that this program
            cannot run.
        kind: the kind of the decoding parameters; may be absent when the engine has one kind only.
        talker: the engine of language models.

    Returns:
        The role that the entry must state, or None when the engine implies it; and the decoding
        parameters, with all default values.

    Raises:
        InputError: `option_invalid`, this program has no such engine and no role is stated, the
            engine has another role, or the engine has no parameters of this kind.
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
    """The role and the type of the decoding parameters, by engine."""
    from glagol.models.gpu_plan import Llm
    from glagol.speech.engines.families import FAMILIES
    from glagol.speech.speakers import families as speakers
    from glagol.speech.vad import families as vad

    found: dict[str, tuple[Role, Any]] = {talker: ("llm", Llm)}
    found |= {name: ("asr", family.config) for name, family in FAMILIES.items()}
    found |= {name: ("speakers", family.config) for name, family in speakers.FAMILIES.items()}
    return found | {name: ("vad", family.config) for name, family in vad.FAMILIES.items()}
