"""Builds the variants of a manifest entry from its source files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from glagol.core.errors import IntegrityError
from glagol.forge.families.gigaam.architecture import Head, Precision
from glagol.forge.families.gigaam.build import build
from glagol.forge.families.gigaam.source import Source, open_source
from glagol.registry.manifest.types import Ctc, Model, Rnnt, Variant

__all__ = ["build_model", "build_variants", "buildable"]

_MADE: Final = {("cpu", "fp32"), ("cpu", "int8"), ("cuda", "fp16")}


def buildable(variant: Variant) -> bool:
    """Whether the forge can make a variant: fp32 and int8 for CPU, fp16 for CUDA."""
    return (variant.provider, variant.precision) in _MADE


def build_model(model: Model, files: Mapping[str, Source]) -> dict[str, dict[str, bytes]]:
    """Build every buildable variant; as ``build_variants``, all in memory at once."""
    return dict(build_variants(model, files))


def build_variants(
    model: Model, files: Mapping[str, Source]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Build one variant after the other, so that only one has to be in memory.

    Args:
        model: the entry; its decoding says which head to build.
        files: source path to source file, as named in ``model.source``; see ``open_source``.
            Their digests are the caller's business.

    Yields:
        Variant id, and artifact name to bytes. Variants that are not ``buildable`` are absent.

    Raises:
        IntegrityError: ``artifact_missing`` (no weights or no configuration among the files),
            ``artifact_altered`` (the files do not fit together), ``checkpoint_refused``.
    """
    head: Head
    match model.decoding:
        case Ctc():
            head = "ctc"
        case Rnnt():
            head = "rnnt"
        case _:
            raise _misfit(model, "its entry names no head that can be built")
    try:
        opened = open_source(files)
        for variant in filter(buildable, model.variants):
            precision = cast("Precision", variant.precision)
            made = build(opened.tensors, opened.config, precision, head, tokenizer=opened.tokenizer)
            yield variant.id, made
            del made  # the next one is built without it
    except FileNotFoundError as error:
        raise IntegrityError(
            "artifact_missing",
            f"{model.id} has no {error} among its sources",
            "fetch the sources; see the model's card",
        ) from error
    except ValueError as error:  # CheckpointError
        raise _misfit(model, str(error)) from error


def _misfit(model: Model, what: str) -> IntegrityError:
    return IntegrityError(
        "artifact_altered",
        f"the sources of {model.id} do not fit together: {what}",
        "get them again from where they came",
    )
