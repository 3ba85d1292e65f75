"""Edit a manifest by pure functions: each returns a valid manifest with the next version.

An edit whose result breaks one of the `rules` or a type raises InputError, so a caller that writes
the result never writes a manifest that cannot be read. `changes` describes an edit in words, for
the changelog.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from glagol.core.errors import InputError, IntegrityError
from glagol.registry.manifest.read import canonical, parse
from glagol.registry.manifest.rules import ROLES, reader_of, role_of
from glagol.registry.manifest.types import Artifact, Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from glagol.registry.manifest.types import Golden, Manifest, SourceFile

UNBUILT = "not built yet: `glagol models build --record` fills the digests"
UNPINNED = "its artifacts are its source files, and not all of them have digest and size yet"
UNFETCHED = "no sha256 was given; the first fetch on a connected machine fills it, for review"


def entry(fields: Mapping[str, Any]) -> Model:
    """Make a model entry from plain values; the type of each field is checked.

    Args:
        fields: as in `manifest.json`.

    Raises:
        InputError: `option_invalid`, naming the field.
    """
    try:
        return msgspec.convert(fields, Model)
    except msgspec.ValidationError as error:
        raise InputError(
            "option_invalid",
            str(error),
            "see manifest.schema.json",
        ) from error


def add(manifest: Manifest, model: Model) -> Manifest:
    """The manifest with one more model at the end.

    Raises:
        InputError: `option_invalid`, a rule is broken: the id is taken, a path repeats.
    """
    return _next(manifest, models=(*manifest.models, model))


def bump(
    manifest: Manifest,
    name: str,
    version: str,
    files: Sequence[SourceFile],
    *,
    built: bool,
    commit: str | None = None,
    golden: Golden | None = None,
) -> Manifest:
    """The manifest with another version of a model.

    The artifacts stay when the source files stay. With other source files every variant loses its
    artifacts until the next build; a model without a builder gets the source files as artifacts.

    Args:
        manifest: what is edited.
        name: id of the model.
        version: the new version, as upstream writes it; compared for equality only.
        files: its source files.
        built: as for `unbuilt`.
        commit: upstream's commit; None keeps the one that is there when the files stay.
        golden: its known-answer clip; None keeps what is there.

    Raises:
        InputError: `model_unknown`; `option_invalid`, the model has that version, or a rule is
            broken.
    """
    model = find(manifest, name)
    if model.version == version:
        raise _refused(f"{name} has the version {version} already")
    source = msgspec.structs.replace(model.source, files=tuple(files), commit=commit)
    fresh = msgspec.structs.replace(
        model, version=version, source=source, golden=golden or model.golden
    )
    if tuple(files) == model.source.files:
        kept = msgspec.structs.replace(source, commit=commit or model.source.commit)
        return _replaced(manifest, msgspec.structs.replace(fresh, source=kept))
    return _replaced(manifest, unbuilt(fresh, built=built))


def unbuilt(model: Model, *, built: bool) -> Model:
    """The entry as it is before its first build.

    Args:
        model: the entry.
        built: whether a builder makes the artifacts. Then no variant has artifacts, and `unpinned`
            gives the reason. Else the pinned source files are the artifacts.
    """
    own = () if built else _source_artifacts(model.source.files)
    reason = UNBUILT if built else UNPINNED
    variants = tuple(msgspec.structs.replace(entry, artifacts=own) for entry in model.variants)
    return msgspec.structs.replace(
        model, variants=variants, builder=None, unpinned="" if own else reason
    )


def _source_artifacts(files: Sequence[SourceFile]) -> tuple[Artifact, ...]:
    """Upstream's files as artifacts; empty when one of them has no digest or size yet."""
    archives = {file.archive for file in files}
    found = []
    for file in files:
        if file.path in archives or file.alternative_to:
            continue
        if file.sha256 is None or file.size_bytes is None:
            return ()
        name = file.path.rpartition("/")[2]
        found.append(
            Artifact(path=name, sha256=file.sha256, size_bytes=file.size_bytes, urls=file.urls)
        )
    return tuple(found)


def retire(manifest: Manifest, name: str) -> Manifest:
    """The manifest without a model.

    Raises:
        InputError: `model_unknown`; `option_invalid`, the model is a default.
    """
    model = find(manifest, name)
    roles = [role for role in ROLES if getattr(manifest.defaults, role) == name]
    if roles:
        raise InputError(
            "option_invalid",
            f"{name} is the default for {' and '.join(roles)}",
            f"make another model the default first: `glagol models use ID --for {roles[0]}`",
        )
    return _next(manifest, models=tuple(other for other in manifest.models if other is not model))


def use(manifest: Manifest, name: str, role: str | None = None) -> Manifest:
    """The manifest with another default.

    Args:
        manifest: what is edited.
        name: id of the model.
        role: asr, vad or llm; None takes the one that the model can serve.

    Raises:
        InputError: `model_unknown`; `option_invalid`, the model cannot serve the role, or is the
            default already.
    """
    model = find(manifest, name)
    role = role or role_of(model)
    if role is None:
        raise _refused(f"the manifest states no role of {name}")
    if role not in ROLES:
        raise _refused(f"there is no role {role!r}; there are {', '.join(ROLES)}")
    if getattr(manifest.defaults, role) == name:
        raise _refused(f"{name} is the default for {role} already")
    return _next(manifest, defaults=msgspec.structs.replace(manifest.defaults, **{role: name}))


def preset(manifest: Manifest, name: str, called: str) -> Manifest:
    """The manifest in which the preset `called` names another model; a preset is a movable alias.

    Settings and requests that name the preset get the new model from then on.

    Args:
        manifest: what is edited.
        name: id of the model.
        called: the preset; a model that had this alias loses it.

    Raises:
        InputError: `model_unknown`; `option_invalid`, the preset names that model already, is a
            model's id, or names a model of another role.
    """
    model = find(manifest, name)
    holder = next((other for other in manifest.models if called in other.aliases), None)
    if holder == model:
        raise _refused(f"{called} names {name} already")
    if holder is not None and role_of(holder) != role_of(model):
        raise _refused(f"{called} names {holder.id}, which has the role {role_of(holder)}")
    moved = []
    for other in manifest.models:
        kept = tuple(alias for alias in other.aliases if alias != called)
        aliases = (*kept, called) if other == model else kept
        moved.append(msgspec.structs.replace(other, aliases=aliases))
    return _next(manifest, models=tuple(moved))


def restore(manifest: Manifest, old: Manifest) -> Manifest:
    """The models and defaults of an old manifest under a new, unused version number.

    Raises:
        InputError: `option_invalid`, nothing would change.
    """
    version = max(manifest.manifest_version, old.manifest_version) + 1
    if msgspec.structs.replace(old, manifest_version=manifest.manifest_version) == manifest:
        raise _refused(f"manifest_version {old.manifest_version} has the same models and defaults")
    return _validated(msgspec.structs.replace(old, manifest_version=version))


def find(manifest: Manifest, name: str) -> Model:
    """The entry with this id. Aliases are refused, since an alias may name another model later.

    Raises:
        InputError: `model_unknown`, listing the ids.
    """
    for model in manifest.models:
        if model.id == name:
            return model
    known = ", ".join(sorted(model.id for model in manifest.models))
    raise InputError("model_unknown", f"no model has the id {name!r}", f"use one of: {known}")


def changes(before: Manifest, after: Manifest) -> Iterator[str]:
    """Describe each difference of two manifests in one phrase, models in the order of `after`."""
    old = {model.id: model for model in before.models}
    new = {model.id: model for model in after.models}
    for name, model in new.items():
        if name not in old:
            yield f"`{name}` {model.version} ({model.engine}, {model.license}) added"
        elif old[name] != model:
            yield f"`{name}` {_difference(old[name], model)}"
    yield from (
        f"`{name}` {model.version} retired" for name, model in old.items() if name not in new
    )
    for role in ROLES:
        was, now = getattr(before.defaults, role), getattr(after.defaults, role)
        if was != now:
            yield f"default {role}: {_name(was)} -> {_name(now)}"


def _name(default: str | None) -> str:
    return "none" if default is None else f"`{default}`"


def _difference(old: Model, new: Model) -> str:
    fields = [
        name
        for name in msgspec.structs.asdict(new)
        if name not in {"version", "unpinned", "builder", "aliases"}
        and getattr(old, name) != getattr(new, name)
    ]
    phrases = [] if old.version == new.version else [f"{old.version} -> {new.version}"]
    built = Counter(bool(variant.artifacts) for variant in new.variants)[True]
    if "variants" in fields:
        fields.remove("variants")
        fields.append(f"variants ({built} of {len(new.variants)} built)")
    for alias in sorted(set(old.aliases) ^ set(new.aliases)):
        phrases.append(f"{'now' if alias in new.aliases else 'no longer'} called `{alias}`")
    if fields:
        phrases.append(f"changed {', '.join(fields)}")
    return "; ".join(phrases) or "changed builder"


def _replaced(manifest: Manifest, model: Model) -> Manifest:
    return _next(
        manifest,
        models=tuple(model if other.id == model.id else other for other in manifest.models),
    )


def _next(manifest: Manifest, **changed: object) -> Manifest:
    version = manifest.manifest_version + 1
    after = msgspec.structs.replace(manifest, manifest_version=version, **changed)
    reader = max(after.min_reader_version, reader_of(after.models))
    return _validated(msgspec.structs.replace(after, min_reader_version=reader))


def _validated(manifest: Manifest) -> Manifest:
    """Write the manifest to bytes and parse them, so that a reader of the file accepts it."""
    try:
        return parse(canonical(manifest))
    except IntegrityError as error:
        raise _refused(error.message.partition(": ")[2]) from error


def _refused(what: str) -> InputError:
    return InputError("option_invalid", what, "change the arguments; nothing was written")
