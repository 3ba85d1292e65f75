"""The types of `manifest.json`: what a model is, where it comes from, which bytes may be opened.

All types are frozen, refuse unknown fields and take keywords only. An unknown digest is left out,
and `unpinned` then gives the reason. `rules` has what the types cannot express.

This module knows no engine by name. The program that opens a model looks `engine` up among its
families, and that family checks `decoding`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

# `$` alone would accept a newline after the last character.
Sha256: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256, lower-case hexadecimal")
]
Md5: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", description="MD5 as upstream states it; no pin")
]
Id: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$(?!\n)")]
Alias: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$(?!\n)")]
Url: TypeAlias = Annotated[str, Meta(pattern=r"^((https?|s3)://[^/\s]+|file://)/\S+$(?!\n)")]
Address: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(((https?|s3)://[^/\s]+|file://)/\S+"
        r"|pkg:pypi/[a-z0-9-]+@[0-9][0-9a-z.]*)$(?!\n)",
        description="a URL, or a wheel of the package index that the machine uses, as a package URL"
        " (pkg:pypi/NAME@VERSION)",
    ),
]
RelativePath: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, description="relative, '/' as separator, no '..'")
]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Bytes: TypeAlias = Annotated[int, Meta(gt=0, description="bytes")]
Decoding: TypeAlias = Annotated[
    dict[str, Any],
    Meta(
        description="parameters of the engine, which checks them itself; `kind` names their form",
        extra_json_schema={"properties": {"kind": {"type": "string"}}, "required": ["kind"]},
    ),
]

Role: TypeAlias = Literal["asr", "vad", "llm", "embed", "speakers"]
Provider: TypeAlias = Literal["cpu", "cuda"]
Precision: TypeAlias = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4"]


class SourceFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One upstream file that a builder reads.

    Attributes:
        path: name inside the source directory.
        sha256: pin; absent only with a reason in `unpinned`.
        size_bytes: exact size when known.
        md5: digest that upstream publishes; helps a first fetch, pins nothing.
        urls: where the file can be had, in order of preference; after `archive` and `joined`.
        archive: path of the source file, a zip or wheel, that contains this one.
        joined: paths of the source files whose bytes, one after the other, are this one.
        alternative_to: path of the file in whose place this one may be read.
        note: provenance of the digest.
        unpinned: why `sha256` is absent.
    """

    path: RelativePath
    sha256: Sha256 | None = None
    size_bytes: Bytes | None = None
    md5: Md5 | None = None
    urls: tuple[Address, ...] = ()
    archive: str = ""
    joined: tuple[str, ...] = ()
    alternative_to: str = ""
    note: str = ""
    unpinned: str = ""


class Source(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Where the weights come from: repository, commit when one is known, files."""

    repo: Text
    commit: str | None = None
    files: tuple[SourceFile, ...] = ()


class Builder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What wrote the artifacts: program, version, digest of the lock it ran under."""

    name: Text
    version: Text
    lock_sha256: Sha256


class Artifact(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One file that the service opens, pinned by digest and size."""

    path: RelativePath
    sha256: Sha256
    size_bytes: Bytes
    urls: tuple[Url, ...] = ()


class Variant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One build of a model for one execution provider; no artifacts means not built yet."""

    id: Id
    provider: Provider
    precision: Precision
    artifacts: tuple[Artifact, ...] = ()


class Golden(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The known-answer clip: repository-relative paths and digests of clip and transcript."""

    audio: RelativePath
    audio_sha256: Sha256
    transcript: RelativePath
    transcript_sha256: Sha256


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One model: identity, source, builds, decoding parameters.

    Attributes:
        id: unique name; also the directory in `models/`.
        engine: the family of code that can run it.
        role: what it is for; absent where the kind of `decoding` says it (`rules.role_of`).
        version: upstream's version.
        license: SPDX expression.
        languages: BCP 47 tags; empty when language does not matter.
        source: upstream files.
        builder: what wrote the artifacts; absent when they are upstream's own bytes or not built.
        variants: builds, the preferred first.
        decoding: parameters of the engine; absent for engines without any.
        golden: known-answer clip.
        aliases: other names that callers may use.
        note: what a user must know ("synthetic voices only; ...").
        unpinned: why a variant has no artifacts yet.
    """

    id: Id
    engine: Id
    role: Role | None = None
    version: Text
    license: Text
    languages: tuple[Text, ...] = ()
    source: Source
    builder: Builder | None = None
    variants: tuple[Variant, ...]
    decoding: Decoding | None = None
    golden: Golden | None = None
    aliases: tuple[Alias, ...] = ()
    note: str = ""
    unpinned: str = ""


class Defaults(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which model id serves a role when the caller names none."""

    asr: Id
    vad: Id
    llm: Id | None = None


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole registry.

    Attributes:
        manifest_version: grows with every change, together with a CHANGELOG entry.
        min_reader_version: readers below it must refuse the file.
        defaults: model ids by role.
        models: every known model.
    """

    manifest_version: Annotated[int, Meta(ge=1)]
    min_reader_version: Annotated[int, Meta(ge=1)]
    defaults: Defaults
    models: tuple[Model, ...]
