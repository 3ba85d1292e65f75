"""Rules between the fields of a manifest, beyond what its types express.

`faults` is pure: it takes a parsed manifest and yields one line per broken rule, each beginning
with the place (`models[2].variants[0].artifacts[1].path`). The rules:

* model ids and aliases name one model each; variant ids, artifact and source paths are unique;
* a default exists and fits its role; decoding parameters have a kind;
* a stated role does not contradict that kind;
* `min_reader_version` is high enough for every field that is used;
* paths are relative, use '/', and have no '.', '..' or empty part;
* one digest has one size everywhere;
* `unpinned` gives a reason if, and only if, a digest is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from glagol.registry.manifest.types import Manifest, Model, Role, SourceFile

ROLES: Final = ("asr", "vad", "llm")
"""Roles that have a default; fields of `Defaults`."""

ROLE_READER: Final = 2
"""`min_reader_version` of a manifest in which an entry states its role."""

SOURCE_READER: Final = 3
"""`min_reader_version` of a manifest with joined source files or addresses of packages."""

PACKAGE: Final = "pkg:"
"""Prefix of a package URL."""

_KINDS: Final[dict[str, Role]] = {
    "attention": "asr",
    "ctc": "asr",
    "rnnt": "asr",
    "embedding": "embed",
    "vad": "vad",
    "speakers": "speakers",
    "llm": "llm",
}
"""Roles by kind of decoding parameters, for entries that state none."""


def faults(manifest: Manifest) -> Iterator[str]:
    """Every broken rule of a manifest, as `place: what is wrong`; nothing when it is sound."""
    yield from _names(manifest)
    yield from _defaults(manifest)
    yield from _reader(manifest)
    yield from _sizes(manifest)
    for index, model in enumerate(manifest.models):
        yield from _model(f"models[{index}]", model)


def reader_of(models: Iterable[Model]) -> int:
    """The `min_reader_version` that a manifest with these entries needs."""
    needed = 1
    for model in models:
        if model.role is not None:
            needed = max(needed, ROLE_READER)
        for file in model.source.files:
            if file.joined or any(url.startswith(PACKAGE) for url in file.urls):
                needed = max(needed, SOURCE_READER)
    return needed


def role_of(model: Model) -> Role | None:
    """The role of a model: the stated one, else the one that the kind of its decoding implies.

    An entry without a role and without decoding parameters is a language model: it was written
    before an entry could state its role.
    """
    if model.role is not None or model.decoding is None:
        return model.role or "llm"
    return _KINDS.get(str(model.decoding.get("kind")))


def is_plain_path(path: str) -> bool:
    """Whether a path is relative, inside its directory, and the same on every system."""
    plain = not any(char in "\\:" or not char.isprintable() for char in path)
    return plain and all(part not in {"", ".", ".."} for part in path.split("/"))


def _names(manifest: Manifest) -> Iterator[str]:
    places = [
        (f"models[{index}].{field}", name)
        for index, model in enumerate(manifest.models)
        for field, name in (
            ("id", model.id),
            *((f"aliases[{n}]", alias) for n, alias in enumerate(model.aliases)),
        )
    ]
    yield from _repeats(places)


def _defaults(manifest: Manifest) -> Iterator[str]:
    roles = {model.id: role_of(model) for model in manifest.models}
    for role in ROLES:
        name = getattr(manifest.defaults, role)
        if name is None:
            continue
        if name not in roles:
            yield f"defaults.{role}: no model has the id {name!r}"
        elif roles[name] != role:
            yield f"defaults.{role}: {name!r} has the role {roles[name]}, not {role}"


def _reader(manifest: Manifest) -> Iterator[str]:
    for index, model in enumerate(manifest.models):
        needed = reader_of([model])
        if manifest.min_reader_version < needed:
            what = "role" if needed == ROLE_READER else "source"
            yield f"models[{index}].{what}: needs min_reader_version {needed}"


def _sizes(manifest: Manifest) -> Iterator[str]:
    sizes: dict[str, int] = {}
    for index, model in enumerate(manifest.models):
        pinned = [
            (f"source.files[{n}]", file.sha256, file.size_bytes)
            for n, file in enumerate(model.source.files)
        ]
        pinned += [
            (f"variants[{v}].artifacts[{n}]", artifact.sha256, artifact.size_bytes)
            for v, variant in enumerate(model.variants)
            for n, artifact in enumerate(variant.artifacts)
        ]
        for place, sha256, size in pinned:
            if sha256 is None or size is None:
                continue
            if sizes.setdefault(sha256, size) != size:
                yield f"models[{index}].{place}.size_bytes: this digest has another size elsewhere"


def _model(place: str, model: Model) -> Iterator[str]:
    if model.decoding is not None:
        kind = model.decoding.get("kind")
        if not isinstance(kind, str) or not kind:
            yield f"{place}.decoding.kind: a name is required"
        elif model.role is not None and _KINDS.get(kind, model.role) != model.role:
            yield f"{place}.role: decoding parameters of the kind {kind!r} are for {_KINDS[kind]}"
    if model.golden is not None:
        yield from _paths(
            [
                (f"{place}.golden.audio", model.golden.audio),
                (f"{place}.golden.transcript", model.golden.transcript),
            ]
        )
    yield from _source(place, model.source.files)
    yield from _variants(place, model)


def _source(place: str, files: tuple[SourceFile, ...]) -> Iterator[str]:
    places = [(f"{place}.source.files[{n}].path", file.path) for n, file in enumerate(files)]
    yield from _paths(places)
    yield from _repeats(places)
    primary = {file.path for file in files if not file.alternative_to}
    whole = {file.path for file in files if not file.archive}
    for n, file in enumerate(files):
        where = f"{place}.source.files[{n}]"
        if file.alternative_to and file.alternative_to not in primary:
            yield f"{where}.alternative_to: no file to replace at {file.alternative_to!r}"
        if file.archive and file.archive not in whole:
            yield f"{where}.archive: no file to look into at {file.archive!r}"
        yield from _joined(f"{where}.joined", file, files)
        yield from _reason(f"{where}.unpinned", file.unpinned, absent=file.sha256 is None)


def _joined(place: str, file: SourceFile, files: tuple[SourceFile, ...]) -> Iterator[str]:
    if not file.joined:
        return
    plain = {other.path for other in files if not other.joined and not other.alternative_to}
    if len(file.joined) < 2 or len(set(file.joined)) < len(file.joined) or file.archive:
        yield f"{place}: two or more different files are needed, and no archive beside them"
    for path in file.joined:
        if path not in plain:
            yield f"{place}: no file to join at {path!r}"


def _variants(place: str, model: Model) -> Iterator[str]:
    if not model.variants:
        yield f"{place}.variants: at least one is needed"
    yield from _repeats(
        [(f"{place}.variants[{n}].id", variant.id) for n, variant in enumerate(model.variants)]
    )
    for n, variant in enumerate(model.variants):
        places = [
            (f"{place}.variants[{n}].artifacts[{i}].path", artifact.path)
            for i, artifact in enumerate(variant.artifacts)
        ]
        yield from _paths(places)
        yield from _repeats(places)
    unbuilt = any(not variant.artifacts for variant in model.variants)
    yield from _reason(f"{place}.unpinned", model.unpinned, absent=unbuilt)


def _reason(place: str, reason: str, *, absent: bool) -> Iterator[str]:
    if absent and not reason.strip():
        yield f"{place}: a digest is absent, so a reason is required"
    if reason and not absent:
        yield f"{place}: a reason is given, but no digest is absent"


def _paths(places: Iterable[tuple[str, str]]) -> Iterator[str]:
    for place, path in places:
        if not is_plain_path(path):
            yield f"{place}: {path!r} is not a plain relative path"


def _repeats(places: Iterable[tuple[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for place, name in places:
        if first.setdefault(name, place) != place:
            yield f"{place}: {name!r} is already at {first[name]}"
