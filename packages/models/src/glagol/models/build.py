"""Build a model's artifacts from its source files, and put them into the store.

The variants are built one after the other, and a build needs memory for one at a time. `store`
compares the bytes with the digests in the manifest before it adds them. `record` is for the person
that adds a model: each variant must pass its family's `judge`, then its digests are written into
the manifest. Variants that were recorded stay when a later one fails; `--missing` builds the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.core.errors import IntegrityError
from glagol.registry.manifest.read import canonical
from glagol.registry.manifest.types import Artifact
from glagol.registry.registry import OpenModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glagol.registry.manifest.types import Model, SourceFile, Variant
    from glagol.registry.registry import Registry

    Progress = Callable[[float, float | None], None]

__all__ = ["Recorder", "lacking", "makeable", "record", "store"]

LOCK: Final = "lock/asr-cpu.txt"


def makeable(model: Model) -> tuple[Variant, ...]:
    """The variants that the forge can build.

    A language model has none: its artifacts are upstream's files, which `models fetch` brings.
    """
    from glagol.forge.model import buildable

    return buildable(model)


def lacking(model: Model, registry: Registry) -> Model:
    """The entry with only the variants that can be built here and are incomplete in the store."""

    def complete(variant: Variant) -> bool:
        present = [registry.store.has(artifact.sha256) for artifact in variant.artifacts]
        return bool(present) and all(present)

    left = tuple(variant for variant in makeable(model) if not complete(variant))
    return msgspec.structs.replace(model, variants=left)


def store(
    model: Model, files: Mapping[str, Path], registry: Registry, progress: Progress | None = None
) -> int:
    """Build every variant that can be built here, check its digests, and add it to the store.

    Args:
        model: The entry; only its variants are built.
        files: Source path to file, verified.
        registry: Where the bytes go.
        progress: Called with the number of variants done and in all.

    Returns:
        How many files were added or were there already.

    Raises:
        IntegrityError: `artifact_altered`, a built artifact has another digest than the manifest
            (the message has both), or the sources do not fit together; `artifact_unpinned`;
            `checkpoint_refused`.
        HostError: `disk_full`, `host_io`.
    """
    for variant in makeable(model):
        registry.variant(model, variant.id)  # raises for missing digests, before the work begins
    count = 0
    for variant_id, artifacts in _made(model, files):
        variant = registry.variant(model, variant_id)
        for artifact in variant.artifacts:
            found = hashlib.sha256(artifacts.get(artifact.path, b"")).hexdigest()
            if found != artifact.sha256:
                raise IntegrityError(
                    "artifact_altered",
                    f"{artifact.path} of {model.id} {variant_id} was built with sha256"
                    f" {found}, the manifest says {artifact.sha256}",
                    "use the release of the manifest, or review and --record the new digests",
                )
        for artifact in variant.artifacts:
            registry.store.add_bytes(artifacts[artifact.path], artifact.sha256)
        count += len(variant.artifacts)
        artifacts.clear()  # the next variant needs the memory
        _report(progress, model, variant)
    return count


@dataclass(slots=True)
class Recorder:
    """Writes one model's entry into HOME/manifest.json, after each new digest.

    However often it writes, the version of the manifest grows by one.
    """

    registry: Registry
    home: Path

    def write(self, model: Model) -> None:
        """Replace the entry with the id of `model`; write nothing if the entry is the same.

        Raises:
            HostError: `disk_full`, `host_io`.
        """
        from glagol.core.files import write_atomic

        manifest = self.registry.manifest
        if model in manifest.models:
            return
        models = tuple(model if entry.id == model.id else entry for entry in manifest.models)
        changed = msgspec.structs.replace(
            manifest, models=models, manifest_version=manifest.manifest_version + 1
        )
        write_atomic(self.home / "manifest.json", canonical(changed))


def record(
    model: Model,
    files: Mapping[str, Path],
    recorder: Recorder,
    ids: Collection[str],
    *,
    progress: Progress | None = None,
) -> int:
    """Build, judge and store variants, and write their digests into the manifest.

    Args:
        model: The new entry, with the digests of its source files as far as they are known.
        files: Source path to file, verified.
        recorder: Where the entry is written.
        ids: Ids of the variants to build.
        progress: Called with the number of variants done and in all.

    Returns:
        How many files were made.

    Raises:
        IntegrityError: the sources do not fit together, or a variant fails its checks.
        HostError: `disk_full`, `host_io`.
    """
    registry = recorder.registry
    model = _with_sources(model, files, recorder.home)
    chosen = tuple(variant for variant in model.variants if variant.id in ids)
    wanted = msgspec.structs.replace(model, variants=chosen)
    judge = _Judge(model)
    count = 0
    for variant_id, artifacts in _made(wanted, files):
        fresh = _stored(model, variant_id, artifacts, registry)
        count += len(artifacts)
        artifacts.clear()  # the session needs the memory
        judge.judge(fresh, registry)
        variants = tuple(fresh if entry.id == fresh.id else entry for entry in model.variants)
        unbuilt = any(not entry.artifacts for entry in variants)
        model = msgspec.structs.replace(
            model, variants=variants, unpinned=model.unpinned if unbuilt else ""
        )
        recorder.write(model)
        _report(progress, model, fresh)
    recorder.write(model)
    return count


def _report(progress: Progress | None, model: Model, done: Variant) -> None:
    if progress is not None:
        ids = [variant.id for variant in model.variants]
        progress(ids.index(done.id) + 1, len(ids))


@dataclass(slots=True)
class _Judge:
    """Checks built variants with the model's family, which also compares them with each other.

    Attributes:
        model: the entry.
        directions: what the family keeps of one variant, to compare the next ones with.
    """

    model: Model
    directions: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def judge(self, variant: Variant, registry: Registry) -> None:
        from glagol.speech.engines.families import FAMILIES

        family = FAMILIES.get(self.model.engine)
        if family is None:  # not a recogniser
            return
        blobs = {a.path: registry.store.open(a, model_id=self.model.id) for a in variant.artifacts}
        opened = OpenModel(
            model=self.model,
            variant=variant,
            blobs=blobs,
            manifest_version=registry.manifest.manifest_version,
            manifest_sha256=registry.manifest_sha256,
        )
        family.judge(opened, self.directions)


def _made(model: Model, files: Mapping[str, Path]) -> Iterator[tuple[str, dict[str, bytes]]]:
    from glagol.forge.model import build_variants

    yield from build_variants(model, files)


def _stored(
    model: Model, variant_id: str, artifacts: Mapping[str, bytes], registry: Registry
) -> Variant:
    """Add `artifacts` to the store, and return the variant with their digests."""
    entry = next(entry for entry in model.variants if entry.id == variant_id)
    urls = {artifact.path: artifact.urls for artifact in entry.artifacts}
    fresh = tuple(
        Artifact(
            path=path,
            sha256=registry.store.add_bytes(data),
            size_bytes=len(data),
            urls=urls.get(path, ()),
        )
        for path, data in artifacts.items()
    )
    return msgspec.structs.replace(entry, artifacts=fresh)


def _with_sources(model: Model, files: Mapping[str, Path], home: Path) -> Model:
    """The entry with the digests of the source files that are read, and with this builder."""

    def source(entry: SourceFile) -> SourceFile:
        if entry.path not in files or entry.sha256 is not None:
            return entry
        with files[entry.path].open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            size = opened.tell()
        return msgspec.structs.replace(entry, sha256=sha256, size_bytes=size, unpinned="")

    from glagol.forge.families.table import FAMILIES

    builder, version = model.builder, FAMILIES[model.engine].builder_version
    if version is not None:
        from glagol.registry.manifest.types import Builder

        lock = hashlib.sha256((home / LOCK).read_bytes()).hexdigest()
        builder = Builder(name="glagol.forge", version=version, lock_sha256=lock)
    sources = tuple(source(entry) for entry in model.source.files)
    return msgspec.structs.replace(
        model, source=msgspec.structs.replace(model.source, files=sources), builder=builder
    )
