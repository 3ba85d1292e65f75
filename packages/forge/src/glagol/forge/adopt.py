"""Adopt upstream's own ONNX files as artifacts, byte for byte.

The source files are pinned by the manifest and nothing is built: every file with a digest is
verified again, and the entry has no builder. A graph that keeps its tensors in another file names
that file beside it; both are source files, and both are adopted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.core.errors import IntegrityError
from glagol.forge.families.base import Make, Source, misfit

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, SourceFile, Variant

__all__ = ["Adopted", "adopt"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """The build family of an engine that runs upstream's files.

    Attributes:
        name: the manifest's `engine`.
        builder_version: none: see `glagol.forge.families.base.BuildFamily`.
        variants: of a new entry.
    """

    name: str
    builder_version: str | None = None
    variants: tuple[str, ...] = ("cpu-fp32",)

    def buildable(self, variant: Variant) -> bool:
        """Every variant is: its files are only copied."""
        del variant
        return True

    def open(self, model: Model, files: Mapping[str, Source]) -> Make:
        """As `adopt`, for each variant; raises what it raises when a variant is made."""
        return lambda variant: adopt(model, variant, files)

    def weights_of(self, paths: list[str]) -> str | None:
        """None: an ONNX file is not counted."""
        del paths
        return None

    def parameters(self, path: Path) -> int | None:
        """None: an ONNX file is not counted."""
        del path
        return None


def adopt(model: Model, variant: Variant, files: Mapping[str, Source]) -> dict[str, bytes]:
    """The artifacts of a variant: source files under their own names, without folders.

    Args:
        model: the entry.
        variant: with artifacts those are adopted, by name; one without any takes every source file
            that is neither an archive nor an alternative.
        files: source path to source file.

    Returns:
        Artifact name to bytes, in the order of the manifest.

    Raises:
        IntegrityError: `artifact_missing`, a file is not among the sources; `artifact_altered`, it
            has another digest than its pin, two have one name, or none is an ONNX graph.
    """
    named: dict[str, SourceFile] = {}
    archives = {file.archive for file in model.source.files}
    for file in model.source.files:
        name = file.path.rpartition("/")[2]
        if file.path in archives or file.alternative_to:
            continue
        if name in named:
            raise misfit(model, f"{named[name].path} and {file.path} would have one name")
        named[name] = file
    wanted = [artifact.path for artifact in variant.artifacts] or list(named)
    if not any(name.endswith(".onnx") for name in wanted):
        raise misfit(model, "none of them is an ONNX graph")
    for name in wanted:
        if name not in named or named[name].path not in files:
            raise IntegrityError(
                "artifact_missing",
                f"{model.id} has no {name} among its sources",
                "fetch the sources; see the model's card",
            )
    return {name: _verified(named[name], files[named[name].path]) for name in wanted}


def _verified(file: SourceFile, source: Source) -> bytes:
    data = source.read_bytes() if isinstance(source, Path) else bytes(source)
    sha256 = hashlib.sha256(data).hexdigest()
    if file.sha256 not in {None, sha256}:
        raise IntegrityError(
            "artifact_altered",
            f"the source file {file.path} has sha256 {sha256}, the manifest says {file.sha256}",
            "get the file again from where it came",
        )
    return data
