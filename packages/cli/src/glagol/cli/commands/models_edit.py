"""`glagol models add|bump|retire|use|history|rollback`: the reviewed edits of `manifest.json`.

Each uses the next manifest_version, adds a line to CHANGELOG.md, stores the previous manifest in
the archive (`glagol.models.history`), and with --dry-run only shows the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from glagol.cli import output, report
from glagol.cli.options import home_option
from glagol.core.errors import InputError, IntegrityError
from glagol.models import history as archive
from glagol.models.home import load

if TYPE_CHECKING:
    from glagol.models.source_args import Origin
    from glagol.registry.manifest.types import Artifact, Manifest, Model
    from glagol.registry.registry import Registry

__all__ = ["COMMANDS"]

_ROLES: Final = ("asr", "vad", "llm")
_ALL_ROLES: Final = (*_ROLES, "embed", "speakers")
_NAMED_MAX: Final = 5  # files that one message lists
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the difference, write nothing.")


@click.command()
@click.argument("name", metavar="ID")
@click.option("--engine", required=True, help="The code that runs it, as `models list` names it.")
@click.option("--role", type=click.Choice(_ALL_ROLES), help="For an engine not known here.")
@click.option("--version", required=True, help="As upstream says it.")
@click.option("--license", required=True, help="SPDX expression.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE|URL",
    help="A source file, hashed now, or its address, optionally with #sha256=DIGEST.",
)
@click.option("--repo", help="Where upstream lives; else the first source.")
@click.option("--commit", help="Upstream's commit.")
@click.option("--language", "languages", multiple=True, metavar="TAG", help="BCP 47, such as ru.")
@click.option("--decoding", metavar="KIND", help="The head, where the engine has several.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="PROVIDER-PRECISION",
    help="Such as cpu-int8; the preferred first.",
)
@click.option(
    "--golden",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="CLIP TRANSCRIPT",
    help="The known answer, files beside the manifest.",
)
@click.option("--alias", "aliases", multiple=True, help="Another name that callers may use.")
@click.option("--note", default="", help="What a user must know.")
@dry_run_option
@home_option
def add(home: Path, dry_run: bool, **given: Any) -> None:
    """Add a model to the manifest; `models build ID --record` then fills its digests.

    An engine that runs upstream's own files gets them into the store at once.
    """
    import msgspec

    from glagol.models import source_args
    from glagol.models.engines import is_built
    from glagol.registry.manifest import edit

    with archive.editing(home) as registry:
        origins = source_args.given(given["sources"], home)
        entry = edit.entry(_fields(given, origins, home))
        model = edit.unbuilt(entry, built=is_built(entry.engine))
        if given["golden"]:
            audio, transcript = given["golden"]
            clip = source_args.golden(audio, transcript, home)
            model = msgspec.structs.replace(model, golden=clip)
        after = edit.add(registry.manifest, model)
        if not dry_run:
            _store(model, origins, registry)
        _finish(home, registry, after, "Added", dry_run=dry_run)


def _fields(given: dict[str, Any], origins: Sequence[Origin], home: Path) -> dict[str, Any]:
    """The fields of a new manifest entry, from the options of `add`."""
    import msgspec

    from glagol.llm.vllm import ENGINE
    from glagol.models.engines import purpose, usual_variants

    name, engine = given["name"], given["engine"]
    role, decoding = purpose(engine, given["role"], given["decoding"], talker=ENGINE)
    source = {
        "repo": given["repo"] or _repo(origins, home),
        "commit": given["commit"],
        "files": [msgspec.to_builtins(item.file) for item in origins],
    }
    variants = [
        {"id": id_, "provider": id_.partition("-")[0], "precision": id_.partition("-")[2]}
        for id_ in given["variants"] or usual_variants(engine)
    ]
    return {
        "id": name,
        **{key: given[key] for key in ("engine", "version", "license", "aliases", "note")},
        "languages": given["languages"],
        "source": source,
        "variants": variants,
        "role": role,
        "decoding": decoding,
    }


def _repo(origins: Sequence[Origin], home: Path) -> str:
    """Origin of the source files without --repo: their first URL, or this repository."""
    for item in origins:
        if item.file.urls:
            return item.file.urls[0]
    if all(item.path and item.path.is_relative_to(home.absolute()) for item in origins):
        return "this repository"
    raise InputError(
        "option_invalid",
        "the source is a file from outside, so the manifest cannot say where it comes from",
        "give --repo, or the address of the file as one more --source",
    )


@click.command()
@click.argument("name", metavar="ID")
@click.option("--version", required=True, help="The new version.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="FILE|URL",
    help="As for add; without any the same files, hashed again; so is the known answer.",
)
@click.option("--commit", help="Upstream's commit.")
@dry_run_option
@home_option
def bump(
    name: str, version: str, sources: tuple[str, ...], commit: str | None, dry_run: bool, home: Path
) -> None:
    """Give a model another version; what was built of other source files waits for a build."""
    from glagol.models import source_args
    from glagol.models.engines import is_built
    from glagol.registry.manifest import edit

    with archive.editing(home) as registry:
        model = edit.find(registry.manifest, name)
        origins = source_args.given(sources, home) if sources else source_args.again(model, home)
        files = [item.file for item in origins]
        clip = source_args.golden_again(model, home)
        built = is_built(model.engine)
        after = edit.bump(
            registry.manifest, name, version, files, built=built, commit=commit, golden=clip
        )
        if not dry_run:
            _store(edit.find(after, name), origins, registry)
        _finish(home, registry, after, "Changed", dry_run=dry_run)


@click.command()
@click.argument("name", metavar="ID")
@dry_run_option
@home_option
def retire(name: str, dry_run: bool, home: Path) -> None:
    """Take a model out of the manifest; its files stay in the store, for `models rollback`."""
    from glagol.registry.manifest import edit

    with archive.editing(home) as registry:
        after = edit.retire(registry.manifest, name)
        _finish(home, registry, after, "Removed", dry_run=dry_run)


@click.command()
@click.argument("name", metavar="ID")
@click.option("--for", "role", type=click.Choice(_ROLES), help="Else what its engine can serve.")
@click.option("--as", "called", metavar="PRESET", help="Move this name to it, not the default.")
@dry_run_option
@home_option
def use(name: str, role: str | None, called: str | None, dry_run: bool, home: Path) -> None:
    """Make a model the default of its role; it must be in the store, every byte right.

    With --as, a preset: ASR_MODEL_NAME=PRESET and requests for PRESET get this model from now on.
    """
    from glagol.registry.manifest import edit

    with archive.editing(home) as registry:
        if called is None:
            after = edit.use(registry.manifest, name, role)
        else:
            after = edit.preset(registry.manifest, name, called)
        registry.open(name)
        _finish(home, registry, after, "Changed", dry_run=dry_run)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@home_option
def history(as_json: bool, home: Path) -> None:
    """List the manifests that the store's archive keeps, the current one marked with *.

    The archive begins with the first edit by this command. Older versions are in version control.
    """
    registry = load(home)
    rows = list(_rows(registry))
    if as_json:
        import msgspec

        output.show(msgspec.json.encode(rows) + b"\n")
        return
    for row in rows:
        mark = "*" if row["current"] else " "
        click.echo(f"{mark} {row['manifest_version']:>4}  {row['sha256'][:12]}  {row['changes']}")


def _rows(registry: Registry) -> Iterator[dict[str, Any]]:
    from glagol.registry.manifest.edit import changes

    before: Manifest | None = None
    for kept in archive.history(registry, report.note):
        said = "; ".join(changes(before, kept.manifest)) if before else "the oldest in the archive"
        yield {
            "manifest_version": kept.manifest.manifest_version,
            "sha256": kept.sha256,
            "current": kept.sha256 == registry.manifest_sha256,
            "defaults": kept.manifest.defaults,
            "changes": said or "the same models and defaults",
        }
        before = kept.manifest


@click.command()
@click.argument("version", required=False, metavar="[VERSION|SHA256]")
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An old manifest.json, instead of one from the archive.",
)
@click.option("--mirror", "mirrors", multiple=True, help="Address of a store that has the files.")
@dry_run_option
@home_option
def rollback(
    version: str | None, file: Path | None, mirrors: tuple[str, ...], dry_run: bool, home: Path
) -> None:
    """Restore models and defaults of an old manifest, as a new manifest_version.

    Without VERSION: the one before the current, so a second rollback takes back the first. Every
    artifact that the old manifest pins must be in the store, or come from a --mirror.
    """
    from glagol.registry.manifest import edit

    with archive.editing(home) as registry:
        old = _old(registry, version, file)
        after = edit.restore(registry.manifest, old)
        _complete(old, registry, () if dry_run else mirrors)
        said = "; ".join(edit.changes(registry.manifest, after))
        text = f"models and defaults of manifest_version {old.manifest_version} again ({said})"
        _finish(home, registry, after, "Changed", text=text, dry_run=dry_run)


def _old(registry: Registry, version: str | None, file: Path | None) -> Manifest:
    """Read the manifest to restore, from the archive or from a file.

    Raises:
        UsageError: Both a version and a file were given.
    """
    from glagol.registry.manifest.read import parse

    if file is None:
        return archive.select(registry, version, report.note).manifest
    if version is not None:
        raise click.UsageError("give VERSION or --from FILE")
    return parse(file.read_bytes())


def _complete(old: Manifest, registry: Registry, mirrors: Sequence[str]) -> None:
    """Check that the store has every artifact of a manifest; fetch missing ones from mirrors.

    Raises:
        IntegrityError: `artifact_missing`, naming model, file and digest.
    """
    lacking = [
        (model, artifact)
        for model, artifact in _pinned(old)
        if not registry.store.verify(artifact.sha256)
    ]
    if lacking and mirrors:
        from glagol.registry.fetch import fetch

        for _, artifact in lacking:
            fetch(artifact, registry.store, mirrors=mirrors)
        return
    if lacking:
        named = [f"{a.path} of {m.id} ({a.sha256})" for m, a in lacking[:_NAMED_MAX]]
        rest = len(lacking) - len(named)
        raise IntegrityError(
            "artifact_missing",
            f"manifest_version {old.manifest_version} needs files that {registry.store.root} lacks"
            f" or has altered: {', '.join(named)}" + (f" and {rest} more" if rest else ""),
            "give --mirror ADDRESS of a store that has them, or copy its files into this one",
        )


def _pinned(manifest: Manifest) -> Iterator[tuple[Model, Artifact]]:
    """Every artifact of a manifest, each digest once."""
    seen = set()
    for model in manifest.models:
        for variant in model.variants:
            for artifact in variant.artifacts:
                if artifact.sha256 not in seen:
                    seen.add(artifact.sha256)
                    yield model, artifact


def _altered(manifest: Manifest, home: Path) -> Iterator[tuple[Path, str]]:
    """Source files and known-answer clips whose bytes differ from what a model pins."""
    import hashlib

    digests: dict[Path, str] = {}
    for model in manifest.models:
        pins = {file.path: file.sha256 for file in model.source.files if file.sha256}
        if model.golden is not None:
            pins[model.golden.audio] = model.golden.audio_sha256
            pins[model.golden.transcript] = model.golden.transcript_sha256
        for path, sha256 in ((home / name, sha256) for name, sha256 in pins.items()):
            if path not in digests and path.is_file():
                with path.open("rb") as opened:
                    digests[path] = hashlib.file_digest(opened, "sha256").hexdigest()
            if digests.get(path, sha256) != sha256:
                yield path, model.id


def _store(model: Model, origins: Sequence[Origin], registry: Registry) -> None:
    """Copy source files that are also artifacts into the store."""
    wanted = {artifact.sha256 for variant in model.variants for artifact in variant.artifacts}
    for item in origins:
        if item.path is not None and item.file.sha256 in wanted:
            registry.store.add_file(item.path, item.file.sha256)


def _finish(
    home: Path, registry: Registry, after: Manifest, section: str, *, text: str = "", dry_run: bool
) -> None:
    """Write the edited manifest, or with `dry_run` show the difference; print the change."""
    from glagol.registry.manifest.edit import changes

    said = text or "; ".join(changes(registry.manifest, after))
    difference = archive.write(home, registry, after, section, said, dry_run=dry_run)
    if dry_run:
        output.show(difference.encode())
    else:
        click.echo(f"manifest_version {after.manifest_version}: {said}")
    for path, name in _altered(after, home):
        report.note(f"{path} is not the file that {name} pins: restore it, or bump {name}, too")


COMMANDS: Final[tuple[click.Command, ...]] = (
    add,
    bump,
    retire,
    use,
    history,
    rollback,
)
