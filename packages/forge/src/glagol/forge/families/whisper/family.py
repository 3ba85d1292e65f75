"""Build ONNX graphs of Whisper's checkpoints: the family's entry in the table of families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from glagol.core.errors import GlagolError, IntegrityError
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.base import Make, Source, misfit
from glagol.forge.families.whisper.build import BUILDER_VERSION, build, check_heads
from glagol.forge.families.whisper.sizes import Precision, Sizes
from glagol.forge.families.whisper.source import open_source, parameters, weights_of

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, Variant

__all__ = ["FAMILY"]

_MADE: Final = {("cpu", "fp32"), ("cpu", "int8"), ("cuda", "fp16")}


@dataclass(frozen=True, slots=True)
class _Whisper:
    """Implements `glagol.forge.families.base.BuildFamily`."""

    name: str = "whisper"
    builder_version: str | None = BUILDER_VERSION
    variants: tuple[str, ...] = ("cpu-int8", "cpu-fp32")

    def buildable(self, variant: Variant) -> bool:
        """Whether the forge can make a variant: fp32 and int8 for CPU, fp16 for CUDA."""
        return (variant.provider, variant.precision) in _MADE

    def open(self, model: Model, files: Mapping[str, Source]) -> Make:
        """Open weights and tokenizer, and compare their sizes with the decoding parameters.

        Raises:
            IntegrityError: ``artifact_missing`` (no weights or no tokenizer among the files),
                ``artifact_altered`` (files and entry do not fit together), ``checkpoint_refused``.
        """
        try:
            opened = open_source(files)
            heads = _heads(model.decoding or {}, opened.sizes)
        except FileNotFoundError as error:
            raise IntegrityError(
                "artifact_missing",
                f"{model.id} has no {error} among its sources",
                "fetch the sources; see the model's card",
            ) from error
        except ValueError as error:  # CheckpointError
            raise misfit(model, str(error)) from error

        def make(variant: Variant) -> dict[str, bytes]:
            precision = cast("Precision", variant.precision)
            try:
                return build(opened.weights, opened.sizes, opened.tokens, heads, precision)
            except ValueError as error:  # CheckpointError
                raise misfit(model, str(error)) from error

        return make

    def weights_of(self, paths: list[str]) -> str | None:
        """The path of the weights among source paths, or None."""
        return weights_of(paths)

    def parameters(self, path: Path) -> int | None:
        """Number of values in the checkpoint; None if it is unreadable, which a build reports."""
        try:
            return parameters(path)
        except (CheckpointError, GlagolError):
            return None


def _heads(decoding: Mapping[str, Any], sizes: Sizes) -> tuple[tuple[int, int], ...]:
    """Check the entry's sizes against the weights, and return its alignment heads (layer, head).

    Raises:
        CheckpointError: the entry has other sizes than the weights, or its heads are invalid.
    """
    for name, value in (("mels", sizes.mels), ("vocabulary", sizes.vocabulary)):
        if decoding.get(name) != value:
            raise CheckpointError(
                f"decoding.{name} is {decoding.get(name)!r} in the entry, {value} in the weights"
            )
    try:
        heads = tuple((int(layer), int(head)) for layer, head in decoding["alignment_heads"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "decoding.alignment_heads lists no pairs of layer and head"
        ) from error
    check_heads(heads, sizes)
    return heads


FAMILY = _Whisper()
