"""Bill of materials (CycloneDX 1.6) and provenance (in-toto, SLSA v1), reproducible to the byte.

Neither contains a time, a host or a user: both depend on the bundle's files and the commit only.
The serial number of the bill is a UUID of version 5 over its own content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glagol.bundle.verify import Entry, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glagol.bundle.licences.classify import Licence
    from glagol.bundle.pack.plan import Plan, Wheel

BUILD_TYPE = "urn:glagol:bundle:1"
BUILDER = "urn:glagol:bundle:pack"
OWN = {"expression": "MIT", "acknowledgement": "declared"}
"""The licence of our packages and of what we compile: LICENSE in the root."""
# RFC 9562, appendix A: the name space for URLs; the name is the digest of the bill as a URN.
_NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


@dataclass(frozen=True, slots=True)
class SbomInputs:
    """What a bundle was made from.

    Attributes:
        plan: what it carries.
        licences: by subject (`NAME-VERSION` of a wheel, id of a model).
        commit: object id of the commit.
        manifest_sha256: digest of manifest.json.
        own: the files of our own packages, `src/packages/NAME/...`.
    """

    plan: Plan
    licences: dict[str, Licence]
    commit: str
    manifest_sha256: str
    own: tuple[Entry, ...] = ()


def bill(inputs: SbomInputs) -> bytes:
    """The bill of materials: the release, our packages, its wheels, its models with their files."""
    release = inputs.plan.release
    components = [_wheel(step.wheel, inputs.licences) for step in inputs.plan.wheels]
    components += [_model(model, variants, inputs) for model, variants in inputs.plan.models]
    components += own_packages(inputs.own, release.version)
    body: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": release.name,
                "name": "glagol",
                "version": release.version,
                "properties": [
                    {"name": "glagol:variant", "value": release.variant},
                    {"name": "glagol:manifest_version", "value": str(release.manifest_version)},
                    {"name": "glagol:manifest_sha256", "value": inputs.manifest_sha256},
                ],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": release.name, "dependsOn": sorted(c["bom-ref"] for c in components)}
        ],
    }
    body["serialNumber"] = f"urn:uuid:{_uuid5(hashlib.sha256(canonical(body)).hexdigest())}"
    return canonical(body)


def provenance(inputs: SbomInputs, files: list[Entry]) -> bytes:
    """An in-toto statement: these files, made by this kind of build, from that commit and lock."""
    plan = inputs.plan
    return canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": f.path, "digest": {"sha256": f.sha256}} for f in sorted(files)],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "variant": plan.release.variant,
                        "system": plan.requires.system,
                        "models": [model.id for model, _ in plan.models],
                    },
                    "internalParameters": {},
                    "resolvedDependencies": [
                        {"uri": "urn:glagol:source", "digest": {"gitCommit": inputs.commit}},
                        *(
                            {"uri": _purl(step.wheel), "digest": {"sha256": step.wheel.sha256}}
                            for step in plan.wheels
                        ),
                    ],
                },
                "runDetails": {"builder": {"id": BUILDER}},
            },
        }
    )


def own_packages(entries: Iterable[Entry], version: str) -> list[dict[str, Any]]:
    """Our packages: each with one digest of all its files, and the compiled ones by name."""
    packages: dict[str, list[Entry]] = {}
    for entry in sorted(entries):
        packages.setdefault(entry.path.split("/")[2], []).append(entry)
    return [
        {
            "type": "library",
            "bom-ref": f"package:{name}",
            "name": f"glagol-{name}",
            "version": version,
            "hashes": [{"alg": "SHA-256", "content": _digest(files)}],
            "licenses": [OWN],
            "components": [
                {
                    "type": "file",
                    "bom-ref": f"package:{name}/{file.path.rpartition('/')[2]}",
                    "name": file.path.rpartition("/")[2],
                    "hashes": [{"alg": "SHA-256", "content": file.sha256}],
                    "licenses": [OWN],
                }
                for file in files
                if file.path.endswith(".so")
            ],
        }
        for name, files in packages.items()
    ]


def _wheel(wheel: Wheel, licences: dict[str, Licence]) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _purl(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "purl": _purl(wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": [_licence(licences[f"{wheel.name}-{wheel.version}"])],
        "properties": [{"name": "glagol:file", "value": wheel.file}],
    }


def _digest(files: Iterable[Entry]) -> str:
    """Digest of the lines `sha256  path`, as sha256sum writes them."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _model(model: Any, variants: Any, inputs: SbomInputs) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.id}",
        "name": model.id,
        "version": model.version,
        "licenses": [_licence(inputs.licences[model.id])],
        "components": [
            {
                "type": "file",
                "bom-ref": f"model:{model.id}/{variant.id}/{artifact.path}",
                "name": f"{variant.id}/{artifact.path}",
                "hashes": [{"alg": "SHA-256", "content": artifact.sha256}],
            }
            for variant in variants
            for artifact in variant.artifacts
        ],
        "properties": [
            {"name": "glagol:engine", "value": model.engine},
            {"name": "glagol:source", "value": model.source.repo},
        ]
        + ([{"name": "glagol:note", "value": model.note}] if model.note else []),
    }


def _licence(licence: Licence) -> dict[str, str]:
    """`declared` is what the project states, `concluded` what was read in its files."""
    basis = "declared" if licence.basis == "stated" else "concluded"
    return {"expression": licence.expression, "acknowledgement": basis}


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version.replace('+', '%2B')}?file_name={wheel.file}"


def _uuid5(name: str) -> str:
    """RFC 9562, section 5.5, over `urn:sha256:NAME`."""
    text = _NAMESPACE_URL + f"urn:sha256:{name}".encode()
    raw = bytearray(hashlib.sha1(text, usedforsecurity=False).digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x50, raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]),
    )
