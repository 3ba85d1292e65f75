"""Builds the variants of a manifest entry from its source files, by the family of its engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from glagol.core.errors import InputError
from glagol.forge.families.table import FAMILIES

if TYPE_CHECKING:
    from glagol.forge.families.base import BuildFamily, Source
    from glagol.registry.manifest.types import Model, Variant

__all__ = ["build_model", "build_variants", "buildable"]


def buildable(model: Model, families: Mapping[str, BuildFamily] = FAMILIES) -> tuple[Variant, ...]:
    """The variants that the forge can make; none of an engine that it does not know."""
    family = families.get(model.engine)
    return () if family is None else tuple(filter(family.buildable, model.variants))


def build_model(
    model: Model, files: Mapping[str, Source], families: Mapping[str, BuildFamily] = FAMILIES
) -> dict[str, dict[str, bytes]]:
    """Build every buildable variant; as ``build_variants``, all in memory at once."""
    return dict(build_variants(model, files, families))


def build_variants(
    model: Model, files: Mapping[str, Source], families: Mapping[str, BuildFamily] = FAMILIES
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Build one variant after the other, so that only one has to be in memory.

    Args:
        model: the entry.
        files: source path to source file, as named in ``model.source``; verified by the caller.
        families: that build, by engine.

    Yields:
        Variant id, and artifact name to bytes. Variants that are not ``buildable`` are absent.

    Raises:
        InputError: ``option_invalid``, no family builds models of this engine.
        IntegrityError: ``artifact_missing``, ``artifact_altered``, ``checkpoint_refused``: see
            ``BuildFamily.open``.
    """
    if model.engine not in families:
        raise InputError(
            "option_invalid",
            f"{model.id} has the engine {model.engine!r}, whose models are not built here",
            f"engines whose models are: {', '.join(sorted(families))}",
        )
    make = families[model.engine].open(model, files)
    for variant in buildable(model, families):
        made = make(variant)
        yield variant.id, made
        del made  # the next one is built without it
