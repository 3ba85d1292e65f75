"""`glagol models`: what the manifest names, what the store holds, and how to bring the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from glagol.cli import output, report
from glagol.cli.commands import models_edit
from glagol.cli.options import home_option
from glagol.cli.progress import Bars
from glagol.core.errors import GlagolError, IntegrityError
from glagol.models import history
from glagol.models.home import load

if TYPE_CHECKING:
    from glagol.models.build_model import BuildOrder
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import Registry

__all__ = ["models"]

TAGS_MAX: Final = 3
"""More languages than these are counted, not listed."""


@click.group()
def models() -> None:
    """List, verify, fetch, build, edit and roll back models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@home_option
def list_models(as_json: bool, home: Path) -> None:
    """Show every model of the manifest and whether the store has it."""
    registry = load(home)
    rows = [_row(registry, model) for model in registry.manifest.models]
    if as_json:
        import msgspec

        answer = {
            "manifest_version": registry.manifest.manifest_version,
            "manifest_sha256": registry.manifest_sha256,
            "models": rows,
        }
        output.show(msgspec.json.encode(answer) + b"\n")
        return
    table = [("ID", "ENGINE", "VERSION", "LICENSE", "LANGUAGES", "VARIANTS")]
    for row in rows:
        builds = ", ".join(_build(name, v) for name, v in row["variants"].items())
        known = _known(row["languages"])
        table.append((row["id"], row["engine"], row["version"], row["license"], known, builds))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    shown: list[dict[str, Any]] = [{}, *rows]
    for line, row in zip(table, shown, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, line[5]]))
        for key in ("note", "unpinned"):
            if row.get(key):
                click.echo(f"    {key}: {row[key]}")


def _row(registry: Registry, model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "engine": model.engine,
        "version": model.version,
        "license": model.license,
        "languages": model.languages,
        "aliases": model.aliases,
        "default_for": [
            role
            for role in ("asr", "vad", "llm")
            if getattr(registry.manifest.defaults, role) == model.id
        ],
        "note": model.note,
        "unpinned": model.unpinned,
        "variants": {
            variant.id: {
                "state": _state([registry.store.has(a.sha256) for a in variant.artifacts]),
                "size_bytes": sum(a.size_bytes for a in variant.artifacts) or None,
                "artifacts": {a.path: a.sha256 for a in variant.artifacts},
            }
            for variant in model.variants
        },
    }


def _known(languages: Sequence[str]) -> str:
    """Languages for people: their tags, or how many there are."""
    return ", ".join(languages) if len(languages) <= TAGS_MAX else f"{len(languages)} languages"


def _build(name: str, variant: Mapping[str, Any]) -> str:
    """A variant for people: its size where it is known, and whether it is here."""
    size_bytes = variant["size_bytes"]
    size = f" {size_bytes / 1e6:.0f} MB" if size_bytes else ""
    return f"{name}{size}: {variant['state']}"


def _state(have: Sequence[bool]) -> str:
    if not have:
        return "unpinned"
    if all(have):
        return "present"
    return "missing" if not any(have) else f"{have.count(False)} of {len(have)} files missing"


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@home_option
def verify(ids: tuple[str, ...], home: Path) -> int:
    """Hash every file of the models in the store; exit 4 when one is wrong.

    Without IDs: every model of which the store has at least one file.
    """
    registry = load(home)
    status = 0
    for model in _chosen(registry, ids, present=True):
        try:
            count = _verify(registry, model, home)
        except GlagolError as error:
            status = status or report.failure(error, subject=model.id)
        else:
            click.echo(f"{model.id}: {count} files verified")
    return status


def _verify(registry: Registry, model: Model, home: Path) -> int:
    """Verify every artifact of every built variant, and the known-answer clip.

    Raises:
        IntegrityError: `artifact_unpinned`, `artifact_missing`, `artifact_altered`.
    """
    artifacts = {a.sha256: a for variant in model.variants for a in variant.artifacts}
    if not artifacts:
        registry.variant(model)  # says that it was never built, and why
    for artifact in artifacts.values():
        registry.store.open(artifact, model_id=model.id, built=model.builder is not None)
    golden = {}
    if model.golden is not None:
        golden = {
            model.golden.audio: model.golden.audio_sha256,
            model.golden.transcript: model.golden.transcript_sha256,
        }
    for path, sha256 in golden.items():
        _verify_file(home / path, sha256)
    return len(artifacts) + len(golden)


def _verify_file(path: Path, sha256: str) -> None:
    import hashlib

    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none: no file"
    if found != sha256:
        raise IntegrityError(
            "artifact_altered",
            f"{path} has sha256 {found}, the manifest says {sha256}",
            "restore it from the release or from version control",
        )


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--mirror", "mirrors", multiple=True, help="Address of a copy of the store.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="Files of one model at a time.",
)
@click.option("--record", is_flag=True, help="Write digests that are absent, for review.")
@home_option
def fetch(
    ids: tuple[str, ...], mirrors: tuple[str, ...], at_once: int, record: bool, home: Path
) -> int:
    """Bring pinned files into the store from mirrors and the manifest's addresses.

    Without IDs: every model that has digests; a language model is only fetched by its ID. An
    interrupted download continues next time. --record is for models that are upstream's own
    files: what upstream serves now gets its digest, and the difference is reviewed.
    """
    from glagol.models.fetching import fetched, recorded
    from glagol.registry.manifest.rules import role_of

    status = 0
    names = ids or [m.id for m in _chosen(load(home), (), present=False) if role_of(m) != "llm"]
    for name in names:
        try:
            with Bars(sys.stderr) as bars:
                if record:
                    with history.noting(home) as registry:
                        count = recorded(registry.model(name), registry, home, at_once, bars)
                else:
                    registry = load(home)
                    count = fetched(registry.model(name), registry, mirrors, at_once, bars)
        except GlagolError as error:
            status = status or report.failure(error, subject=name)
        else:
            click.echo(f"{name}: {count} files present and verified")
    return status


def _chosen(registry: Registry, ids: Sequence[str], *, present: bool) -> Iterable[Model]:
    """The named models; without names, those with digests (and, if `present`, any file)."""
    if ids:
        return [registry.model(name) for name in ids]
    return [
        model
        for model in registry.manifest.models
        if any(
            registry.store.has(artifact.sha256) or not present
            for variant in model.variants
            for artifact in variant.artifacts
        )
    ]


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--source",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where source files are, besides the home directory.",
)
@click.option("--fetch", is_flag=True, help="Bring source files that are not here.")
@click.option("--record", is_flag=True, help="Write the digests into manifest.json for review.")
@click.option("--missing", is_flag=True, help="Only what the store lacks and the sources allow.")
@click.option("--variant", "variants", multiple=True, help="Only this variant; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@home_option
def build(ids: tuple[str, ...], home: Path, **options: Any) -> int:
    """Build models from their source files and compare with the manifest's digests.

    Without IDs, --missing is needed. --missing continues an interrupted run.
    """
    from glagol.models.build_model import build_one

    order = _order(home, optional=not ids, **options)
    status = 0
    for name in ids or [model.id for model in load(home).manifest.models]:
        with history.noting(home) as registry:  # again for each: --record changes the manifest
            model = registry.model(name)
            try:
                with Bars(sys.stderr) as bars:
                    for line in build_one(model, registry, order, bars):
                        click.echo(line)
            except GlagolError as error:
                status = status or report.failure(error, subject=model.id)
    return status


def _order(home: Path, *, folder: Path | None, optional: bool, **options: Any) -> BuildOrder:
    """What `build` was asked for.

    Raises:
        UsageError: neither an ID nor --missing was given.
    """
    from glagol.models.build_model import BuildOrder

    if optional and not options["missing"]:
        raise click.UsageError("give an ID, or --missing")
    folders = tuple(path for path in (folder, home.absolute()) if path is not None)
    return BuildOrder(home=home.absolute(), folders=folders, optional=optional, **options)


for command in models_edit.COMMANDS:
    models.add_command(command)
