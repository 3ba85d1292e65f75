"""The family's row: GigaAM's checkpoints, authored as ONNX graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from glagol.core.errors import GlagolError, IntegrityError
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.base import Make, Source, misfit
from glagol.forge.families.gigaam.architecture import Head, Precision
from glagol.forge.families.gigaam.build import BUILDER_VERSION, build
from glagol.forge.families.gigaam.source import open_source, parameters, weights_of

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, Variant

__all__ = ["FAMILY"]

_MADE: Final = {("cpu", "fp32"), ("cpu", "int8"), ("cuda", "fp16")}
_HEADS: Final = ("ctc", "rnnt")


@dataclass(frozen=True, slots=True)
class _Gigaam:
    """As `glagol.forge.families.base.BuildFamily`."""

    name: str = "gigaam"
    builder_version: str | None = BUILDER_VERSION
    variants: tuple[str, ...] = ("cpu-fp32", "cpu-int8")

    def buildable(self, variant: Variant) -> bool:
        """Whether the forge can make a variant: fp32 and int8 for CPU, fp16 for CUDA."""
        return (variant.provider, variant.precision) in _MADE

    def open(self, model: Model, files: Mapping[str, Source]) -> Make:
        """Open weights, configuration and tokenizer; the entry's decoding says which head to build.

        Raises:
            IntegrityError: ``artifact_missing`` (no weights or no configuration among the files),
                ``artifact_altered`` (the files do not fit together), ``checkpoint_refused``.
        """
        kind = (model.decoding or {}).get("kind")
        if kind not in _HEADS:
            raise misfit(model, "its entry names no head that can be built")
        try:
            opened = open_source(files)
        except FileNotFoundError as error:
            raise IntegrityError(
                "artifact_missing",
                f"{model.id} has no {error} among its sources",
                "fetch the sources; see the model's card",
            ) from error
        except ValueError as error:  # CheckpointError
            raise misfit(model, str(error)) from error

        def make(variant: Variant) -> dict[str, bytes]:
            precision, head = cast("Precision", variant.precision), cast("Head", kind)
            try:
                return build(
                    opened.tensors, opened.config, precision, head, tokenizer=opened.tokenizer
                )
            except ValueError as error:  # CheckpointError
                raise misfit(model, str(error)) from error

        return make

    def weights_of(self, paths: list[str]) -> str | None:
        """The path of the weights among source paths, or None."""
        return weights_of({path: Path(path) for path in paths})

    def parameters(self, path: Path) -> int | None:
        """How many numbers the checkpoint holds; None: the build will say what is wrong with it."""
        try:
            return parameters(path)
        except (CheckpointError, GlagolError):
            return None


FAMILY = _Gigaam()
