"""The protocol of a model family in the forge: building artifacts from source files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, Variant

__all__ = ["BuildFamily", "Make", "Source", "misfit"]

Source: TypeAlias = bytes | memoryview | Path
"""A source file: its bytes (an mmap too), or where they lie."""

Make: TypeAlias = "Callable[[Variant], dict[str, bytes]]"
"""Makes one variant: artifact name to bytes."""


class BuildFamily(Protocol):
    """Makes the artifacts of the models of one engine."""

    @property
    def name(self) -> str:
        """The manifest's `engine`."""

    @property
    def builder_version(self) -> str | None:
        """Changes whenever the same sources would give other bytes.

        None: the artifacts are upstream's own bytes, and the manifest names no builder.
        """

    @property
    def variants(self) -> tuple[str, ...]:
        """Variant ids that a new entry gets when its author names none, the preferred first."""

    def buildable(self, variant: Variant) -> bool:
        """Whether this variant can be made here."""

    def open(self, model: Model, files: Mapping[str, Source]) -> Make:
        """Open the sources of a model once for all of its variants.

        Args:
            model: the entry.
            files: source path to source file, as named in `model.source`; verified by the caller.

        Returns:
            What makes a variant. It raises IntegrityError as this function does.

        Raises:
            IntegrityError: `artifact_missing` (a source file is not among the files),
                `artifact_altered` (they do not fit together), `checkpoint_refused`.
        """

    def weights_of(self, paths: list[str]) -> str | None:
        """The path of the file with the weights among source paths; None when none is known."""

    def parameters(self, path: Path) -> int | None:
        """How many numbers a file of weights holds; None when it cannot be read."""


def misfit(model: Model, what: str) -> IntegrityError:
    """The error of source files that do not fit together."""
    return IntegrityError(
        "artifact_altered",
        f"the sources of {model.id} do not fit together: {what}",
        "get them again from where they came",
    )
