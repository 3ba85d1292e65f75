"""Build models of speakers from two checkpoints, segmentation and embedding: their table entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from glagol.core.errors import GlagolError, IntegrityError
from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.checkpoints.torch import read_torch
from glagol.forge.families.base import Make, Source, misfit
from glagol.forge.families.campplus import embedding, segmentation
from glagol.forge.onnx.graph import Graph

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, Variant

__all__ = ["FAMILY"]

Weights = Mapping[str, NDArray[np.generic]]

BUILDER_VERSION: Final = "1"
"""Changes whenever the same weights would give other bytes."""

_MADE: Final = ("cpu", "fp32")
_PARTS: Final[Mapping[str, tuple[str, Callable[[Graph, Weights], None]]]] = {
    "segmentation": (".bin", segmentation.author),
    "embedding": (".pt", embedding.author),
}
"""By the graph's name: the suffix of its checkpoint's file, and the function that writes it."""


@dataclass(frozen=True, slots=True)
class _Campplus:
    """Implements `glagol.forge.families.base.BuildFamily`."""

    name: str = "campplus"
    builder_version: str | None = BUILDER_VERSION
    variants: tuple[str, ...] = ("cpu-fp32",)

    def buildable(self, variant: Variant) -> bool:
        """Whether the forge can make a variant: fp32 for CPU."""
        return (variant.provider, variant.precision) == _MADE

    def open(self, model: Model, files: Mapping[str, Source]) -> Make:
        """Open both checkpoints.

        Raises:
            IntegrityError: ``artifact_missing`` (a checkpoint is not among the files),
                ``artifact_altered`` (a checkpoint is of another network), ``checkpoint_refused``.
        """
        opened = {part: _weights(model, files, ending) for part, (ending, _) in _PARTS.items()}

        def make(variant: Variant) -> dict[str, bytes]:
            del variant
            made: dict[str, bytes] = {}
            for part, (_, author) in _PARTS.items():
                graph = Graph(part, f"{part}.data")
                try:
                    author(graph, opened[part])
                    names = (f"{part}.onnx", f"{part}.data")
                    made |= zip(names, graph.finish(BUILDER_VERSION, {}), strict=True)
                except ValueError as error:  # CheckpointError
                    raise misfit(model, str(error)) from error
            return made

        return make

    def weights_of(self, paths: list[str]) -> str | None:
        """The path of the larger checkpoint, that of the embedding, or None."""
        return next((path for path in sorted(paths) if path.endswith(".pt")), None)

    def parameters(self, path: Path) -> int | None:
        """Number of values in a checkpoint; None if it is unreadable, which a build reports."""
        try:
            tensors = read_torch(path.read_bytes()).tensors
        except (CheckpointError, GlagolError):
            return None
        return sum(math.prod(value.shape) for value in tensors.values())


def _weights(model: Model, files: Mapping[str, Source], ending: str) -> Weights:
    """The tensors of the checkpoint with this suffix, all finite. Raises IntegrityError."""
    path = next((path for path in sorted(files) if path.endswith(ending)), None)
    if path is None:
        raise IntegrityError(
            "artifact_missing",
            f"{model.id} has no {ending} file among its sources",
            "fetch the sources; see the model's card",
        )
    source = files[path]
    data = source.read_bytes() if isinstance(source, Path) else source
    tensors = read_torch(data).tensors
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise misfit(model, f"{name} holds values that are not finite numbers")
    return tensors


FAMILY = _Campplus()
