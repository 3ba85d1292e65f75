"""`glagol models build`: from pinned source files to pinned artifacts in the store.

The bytes that come out are compared with the manifest before the store gets them. `--record` is
the other direction, for the person who adds a model: it writes the digests into the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from glagol.registry.errors import IntegrityError

if TYPE_CHECKING:
    from glagol.registry.entries import Model, SourceFile, Variant
    from glagol.registry.registry import Registry

__all__ = ["Built", "build", "record", "sources", "store"]

LOCK: Final = "lock/asr-cpu.txt"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gave.

    Attributes:
        model: The entry it was made from.
        sources: Source path to the file that was read.
        variants: Variant id to artifact name to bytes; variants that this machine's forge cannot
            make are absent.
    """

    model: Model
    sources: Mapping[str, Path]
    variants: Mapping[str, Mapping[str, bytes]]


def sources(model: Model, registry: Registry, folders: Sequence[Path]) -> dict[str, Path]:
    """Find and verify the source files of `model`.

    Args:
        model: The entry.
        registry: Its store may hold fetched source files.
        folders: Where to look, in order; each may hold `models/ID/PATH` or `PATH`.

    Returns:
        Source path to file. Of a file and its alternatives the first that exists is taken.
        An archive is not needed when the files inside it are there.

    Raises:
        IntegrityError: `artifact_missing` or `artifact_altered`.
    """
    archives = {file.archive for file in model.source.files if file.archive}
    found: dict[str, Path] = {}
    missing: list[SourceFile] = []
    for file in model.source.files:
        path = _locate(file, model.id, registry, folders)
        if path is not None:
            found[file.path] = path
        elif file.path not in archives:
            missing.append(file)
    replaced = {file.alternative_to for file in model.source.files if file.path in found}
    absent = [f for f in missing if f.path not in replaced and not f.alternative_to]
    if absent:
        raise IntegrityError(
            "artifact_missing",
            f"the source file {absent[0].path} of {model.id} is in none of: "
            + ", ".join(str(folder) for folder in folders),
            "give its folder with --source DIR"
            + (f"; it can be had from {absent[0].urls[0]}" if absent[0].urls else ""),
        )
    return found


def build(model: Model, files: Mapping[str, Path]) -> Built:
    """Make every variant that the forge can make.

    Raises:
        IntegrityError: `artifact_altered`, the sources do not fit together.
    """
    if model.engine == "silero":
        return Built(
            model, files, {variant.id: _copied(variant, files) for variant in model.variants}
        )
    from glagol.forge.model import build_model

    return Built(model, files, build_model(model, files))


def store(built: Built, registry: Registry) -> int:
    """Compare with the manifest, then add to the store.

    Returns:
        How many files were added or were there already.

    Raises:
        IntegrityError: `artifact_altered` with both digests, `artifact_unpinned`.
        HostError: `disk_full`, `host_io`.
    """
    checked: list[tuple[bytes, str]] = []
    for variant_id, artifacts in built.variants.items():
        variant = registry.variant(built.model, variant_id)
        for artifact in variant.artifacts:
            data = artifacts.get(artifact.path, b"")
            found = hashlib.sha256(data).hexdigest()
            if found != artifact.sha256:
                raise IntegrityError(
                    "artifact_altered",
                    f"{artifact.path} of {built.model.id} {variant_id} was built with sha256"
                    f" {found}, the manifest says {artifact.sha256}",
                    "use the release of the manifest, or review and --record the new digests",
                )
            checked.append((data, found))
    for data, sha256 in checked:
        registry.store.add_bytes(data, sha256)
    return len(checked)


def record(built: Built, registry: Registry, home: Path) -> None:
    """Write the digests of `built` into HOME/manifest.json and add its files to the store.

    The manifest's version grows by one when anything changed.

    Raises:
        HostError: `disk_full`, `host_io`.
    """
    from glagol.cli.output import write
    from glagol.registry.manifest import canonical

    model = _recorded(built, home)
    for artifacts in built.variants.values():
        for data in artifacts.values():
            registry.store.add_bytes(data)
    manifest = registry.manifest
    if model == built.model:
        return
    models = tuple(model if entry.id == model.id else entry for entry in manifest.models)
    changed = msgspec.structs.replace(
        manifest, models=models, manifest_version=manifest.manifest_version + 1
    )
    write(home / "manifest.json", canonical(changed))


def _locate(
    file: SourceFile, model_id: str, registry: Registry, folders: Sequence[Path]
) -> Path | None:
    places = [
        place
        for folder in folders
        for place in (folder / file.path, folder / "models" / model_id / file.path)
    ]
    if file.sha256 is not None:
        places.append(registry.store.path_of(file.sha256))
    for place in places:
        if not place.is_file():
            continue
        with place.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if file.sha256 not in {None, found}:
            raise IntegrityError(
                "artifact_altered",
                f"the source file {place} has sha256 {found}, the manifest says {file.sha256}",
                "get the file again from where it came",
            )
        return place
    return None


def _copied(variant: Variant, files: Mapping[str, Path]) -> dict[str, bytes]:
    """Artifacts that are upstream's own bytes: found among the sources by name."""
    by_name = {path.rpartition("/")[2]: file for path, file in files.items()}
    return {
        artifact.path: by_name[artifact.path].read_bytes()
        for artifact in variant.artifacts
        if artifact.path in by_name
    }


def _recorded(built: Built, home: Path) -> Model:
    """The manifest entry with every digest of `built` filled in."""
    from glagol.registry.entries import Artifact, Builder

    def variant(entry: Variant) -> Variant:
        if entry.id not in built.variants:
            return entry
        old = {artifact.path: artifact.urls for artifact in entry.artifacts}
        return msgspec.structs.replace(
            entry,
            artifacts=tuple(
                Artifact(
                    path=path,
                    sha256=hashlib.sha256(data).hexdigest(),
                    size_bytes=len(data),
                    urls=old.get(path, ()),
                )
                for path, data in built.variants[entry.id].items()
            ),
        )

    def source(entry: SourceFile) -> SourceFile:
        if entry.path not in built.sources or entry.sha256 is not None:
            return entry
        data = built.sources[entry.path].read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        return msgspec.structs.replace(entry, sha256=sha256, size_bytes=len(data), unpinned="")

    model = built.model
    variants = tuple(variant(entry) for entry in model.variants)
    builder = model.builder
    if model.engine != "silero":
        from glagol.forge.build import BUILDER_VERSION

        lock = hashlib.sha256((home / LOCK).read_bytes()).hexdigest()
        builder = Builder(name="glagol.forge", version=BUILDER_VERSION, lock_sha256=lock)
    return msgspec.structs.replace(
        model,
        source=msgspec.structs.replace(
            model.source, files=tuple(source(entry) for entry in model.source.files)
        ),
        builder=builder,
        variants=variants,
        unpinned="" if all(entry.artifacts for entry in variants) else model.unpinned,
    )
