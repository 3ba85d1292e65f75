"""Build one model for `glagol models build`: plan, find or fetch its sources, build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from glagol.core.errors import InputError
from glagol.models import build as builder
from glagol.models import sources
from glagol.models.bringing import bring
from glagol.models.build_plan import plan
from glagol.models.engines import known

if TYPE_CHECKING:
    from glagol.models.progress import Bars
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["BuildOrder", "build_one"]


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """Options of the command.

    Attributes:
        home: Directory of manifest.json.
        folders: Directories in which source files are searched.
        optional: Whether a model whose sources are not on this machine is skipped without an error.
        fetch: Whether source files may be fetched.
        record: Whether digests are written into the manifest instead of compared with it.
        missing: Whether variants that are complete in the store are skipped.
        variants: Ids of the variants to build; empty means all that can be built here.
        dry_run: Whether only the plan is shown.
    """

    home: Path
    folders: tuple[Path, ...]
    optional: bool
    fetch: bool
    record: bool
    missing: bool
    variants: tuple[str, ...]
    dry_run: bool


def build_one(model: Model, registry: Registry, order: BuildOrder, bars: Bars) -> Iterator[str]:
    """Build a model.

    Args:
        model: The entry.
        registry: Its store takes the files.
        order: Options of the command.
        bars: Shows the progress.

    Yields:
        Lines for standard output.

    Raises:
        InputError: `option_invalid`, the model's artifacts are upstream's own files, or it has no
            such variant.
        IntegrityError: sources are missing, altered or refused; artifacts have other digests than
            the manifest, or fail their family's checks.
        HostError: `disk_full`, `host_io`.
    """
    if not known(model.engine):
        if order.optional:
            return
        raise InputError(
            "option_invalid",
            f"{model.id} consists of upstream's own files: there is nothing to build",
            f"run `glagol models fetch {model.id}`; --record fills digests that are absent",
        )
    wanted = builder.lacking(model, registry) if order.missing else model
    if order.variants:
        wanted = _only(wanted, order.variants, known={v.id for v in builder.makeable(model)})
    if not wanted.variants:
        return
    located = sources.find(model, registry, order.folders)
    absent = bool(sources.missing(model, located))
    if absent and order.optional and not order.fetch:
        return
    if order.dry_run:
        yield from plan(wanted, registry, located).lines()
        return
    recorder = builder.Recorder(registry, order.home)
    if absent and order.fetch:
        plan(wanted, registry, located).check()
        failures: list[str] = []
        with bars.counter(f"{model.id} sources", least=0) as progress:
            model = bring(
                model,
                registry,
                located,
                pinned=recorder.write if order.record else None,
                gone=failures.append,
                progress=progress,
            )
        yield from failures
        located = sources.find(model, registry, order.folders)
    files = sources.found(model, located, registry, order.folders)
    plan(wanted, registry, located).check()
    with bars.counter(f"{model.id} variants", least=0) as progress:
        if order.record:
            ids = [variant.id for variant in wanted.variants]
            count = builder.record(model, files, recorder, ids, progress=progress)
        else:
            count = builder.store(wanted, files, registry, progress)
    yield f"{model.id}: {count} files"


def _only(model: Model, variants: tuple[str, ...], known: set[str]) -> Model:
    """The entry with the chosen variants only.

    Raises:
        InputError: `option_invalid`, a chosen variant cannot be built here.
    """
    for name in variants:
        if name not in known:
            raise InputError(
                "option_invalid",
                f"{model.id} has no variant {name!r} that can be built here",
                f"use one of {', '.join(sorted(known))}",
            )
    chosen = tuple(variant for variant in model.variants if variant.id in variants)
    return msgspec.structs.replace(model, variants=chosen)
