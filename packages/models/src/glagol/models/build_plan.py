"""Plan of `glagol models build`: files, digests, variants, disk space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glagol.core.errors import HostError
from glagol.models.build import makeable
from glagol.models.sources import Found, lacking_archives, missing

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model, SourceFile, Variant
    from glagol.registry.registry import Registry

__all__ = ["Plan", "plan"]

_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of one weight in an artifact; what stays float32 in int8 builds is within the margin."""

_MARGIN = 1.1
_HALF = 2
"""Bytes of one weight in a published checkpoint."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build needs and gives.

    Attributes:
        model: The entry.
        located: Source files that are here, by path.
        absent: Source files that would have to be fetched.
        sizes: Bytes of each variant that would be made, by id; None where nothing tells.
        have_bytes: Bytes of those variants that the store has already.
        fetch_bytes: Bytes to fetch; None where a size is unknown.
        free_bytes: Room where the store is.
    """

    model: Model
    located: dict[str, Found]
    absent: list[SourceFile]
    sizes: dict[str, int | None]
    have_bytes: int
    fetch_bytes: int | None
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Room that the build needs at least: all that is known of it."""
        made = sum(size or 0 for size in self.sizes.values())
        return (self.fetch_bytes or 0) + made - self.have_bytes

    def check(self) -> None:
        """Refuse a build that has too little disk space.

        Raises:
            HostError: `disk_full`, there is less room than the build needs.
        """
        if self.needed_bytes > self.free_bytes:
            raise HostError(
                "disk_full",
                f"{self.model.id} needs {_size(self.needed_bytes)}, the disk of the store has"
                f" {_size(self.free_bytes)}",
                "make room, or move the store with GLAGOL_STORE",
            )

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        yield self.model.id
        for file in self.model.source.files:
            place = self.located.get(file.path)
            if place is not None:
                state = f"{_size(place.path.stat().st_size)}, at {place.path}"
            elif file in self.absent:
                archives = lacking_archives(self.model, file, self.located)
                places = [" and ".join(a.path for a in archives)] if archives else []
                places += file.urls[:1]
                state = f"{_size(file.size_bytes)}, to fetch: " + (
                    ", else ".join(places) if places else "no address is known"
                )
            else:
                state = "not needed"
            pin = f"sha256 {file.sha256}" if file.sha256 else "sha256 unknown"
            known = " (known after this)" if place is None and not file.sha256 else ""
            yield f"  source   {file.path}: {state}; {pin}{known}"
        for variant in self.model.variants:
            if variant.id not in self.sizes:
                yield f"  variant  {variant.id}: not made here"
                continue
            pin = "digests known" if variant.artifacts else "digests unknown: needs --record"
            yield f"  variant  {variant.id}: {_size(self.sizes[variant.id])}; {pin}"
        unknown = self.fetch_bytes is None or None in self.sizes.values()
        least = "at least " if unknown else ""
        yield f"  disk     {least}{_size(self.needed_bytes)} of {_size(self.free_bytes)} free"


def plan(model: Model, registry: Registry, located: dict[str, Found]) -> Plan:
    """Plan a build of `model` without changing anything.

    Args:
        model: The entry; its variants are those to be built.
        registry: Its store.
        located: Source files that are here.
    """
    absent = missing(model, located)
    sizes = [file.size_bytes for file in absent]
    weights = _weights(model, located)
    root = registry.store.root
    while not root.exists():
        root = root.parent
    made = makeable(model)
    have = {
        a.sha256: a.size_bytes for v in made for a in v.artifacts if registry.store.has(a.sha256)
    }
    return Plan(
        model=model,
        located=located,
        absent=absent,
        sizes={variant.id: _expected(variant, weights) for variant in made},
        have_bytes=sum(have.values()),
        fetch_bytes=None if None in sizes else sum(size or 0 for size in sizes),
        free_bytes=shutil.disk_usage(root).free,
    )


def _expected(variant: Variant, weights: int | None) -> int | None:
    if variant.artifacts:
        return sum(artifact.size_bytes for artifact in variant.artifacts)
    width = _BYTES.get(variant.precision)
    return None if weights is None or width is None else int(weights * width * _MARGIN)


def _weights(model: Model, located: dict[str, Found]) -> int | None:
    """How many weights the model has: from the file if it is here, else from its known size."""
    from glagol.forge.families.table import FAMILIES

    family = FAMILIES.get(model.engine)
    if family is None:
        return None
    name = family.weights_of(list(located))
    if name is not None:
        return family.parameters(located[name].path)
    named = family.weights_of([file.path for file in model.source.files])
    size = next((file.size_bytes for file in model.source.files if file.path == named), None)
    return None if size is None else size // _HALF


def _size(count: int | None) -> str:
    """A number of bytes for people, decimal units."""
    if count is None:
        return "size unknown"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
