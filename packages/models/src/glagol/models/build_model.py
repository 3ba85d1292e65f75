"""One model of `glagol models build`: plan, sources, build, in this order."""

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
    """What the caller asked for.

    Attributes:
        home: Where manifest.json is.
        folders: Where source files may be.
        optional: Whether models whose sources are elsewhere are passed over.
        fetch: Whether source files may be fetched.
        record: Whether digests are written into the manifest instead of compared with it.
        missing: Whether only variants are built that the store does not have whole.
        variants: Ids of the variants to build; empty means all that can be made here.
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
    """Build a model as ordered.

    Args:
        model: The entry.
        registry: Its store takes the files.
        order: What the caller asked for.
        bars: Shows the progress.

    Yields:
        Lines for standard output.

    Raises:
        InputError: `option_invalid`, the model is upstream's own files or has no such variant.
        IntegrityError: sources are missing, altered or refused; artifacts differ or do not work.
        HostError: `disk_full`, `host_io`.
    """
    if not known(model.engine):
        if order.optional:
            return
        raise InputError(
            "option_invalid",
            f"{model.id} is upstream's own files: there is nothing to build",
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
        return  # its sources are for machines that have them
    if order.dry_run:
        yield from plan(wanted, registry, located).lines()
        return
    recorder = builder.Recorder(registry, order.home)
    if absent and order.fetch:
        plan(wanted, registry, located).check()
        lost: list[str] = []
        with bars.counter(f"{model.id} sources", least=0) as progress:
            model = bring(
                model,
                registry,
                located,
                pinned=recorder.write if order.record else None,
                gone=lost.append,
                progress=progress,
            )
        yield from lost
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
    """The entry with the chosen variants alone.

    Raises:
        InputError: `option_invalid`, one of them cannot be made here.
    """
    for name in variants:
        if name not in known:
            raise InputError(
                "option_invalid",
                f"{model.id} has no variant {name!r} that is made here",
                f"use one of {', '.join(sorted(known))}",
            )
    chosen = tuple(variant for variant in model.variants if variant.id in variants)
    return msgspec.structs.replace(model, variants=chosen)
