"""The bill of materials is one by CycloneDX's own schema, and names what we compiled."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from bundle import made
from glagol.bundle import verify
from glagol.bundle.pack import sbom
from glagol.bundle.pack.sources import Bytes

SCHEMA = Path(__file__).with_name("cyclonedx")


@pytest.fixture(scope="module")
def validator() -> Any:
    """Of bom-1.6; what it refers to is beside it, and nothing is fetched."""
    schemas = [
        json.loads(gzip.decompress(path.read_bytes())) for path in sorted(SCHEMA.glob("*.gz"))
    ]
    registry = Registry[Any]().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    (bom,) = (schema for schema in schemas if schema["$id"].endswith("bom-1.6.schema.json"))
    kind = jsonschema.validators.validator_for(bom)
    return kind(bom, registry=registry, format_checker=kind.FORMAT_CHECKER)


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a small release with wheels, a model and packages of ours."""
    root = tmp_path_factory.mktemp("bill") / "checkout"
    made.checkout(root)
    for member in made.contents(root).members:
        if member.entry.path == "sbom.cdx.json" and isinstance(member, Bytes):
            return json.loads(member.data)
    pytest.fail("the bundle has no sbom.cdx.json")


def test_the_bill_follows_the_schema(validator: Any, bill: dict[str, Any]) -> None:
    """CycloneDX's own, of the version that the bill names."""
    assert bill["specVersion"] == "1.6"
    assert [error.message for error in validator.iter_errors(bill)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("specVersion", 1.6), ("serialNumber", "urn:uuid:1"), ("packages", []), ("version", 0)],
)
def test_the_schema_refuses_what_is_none(
    validator: Any, bill: dict[str, Any], key: str, value: object
) -> None:
    """So that a schema which was not read does not pass for one that agrees."""
    assert list(validator.iter_errors(bill | {key: value}))


def test_it_names_what_we_compiled(validator: Any, bill: dict[str, Any]) -> None:
    """A library in a package of ours, with its digest and licence; no other file of it."""
    folder = "src/packages/speech/src/glagol/speech"
    files = [
        verify.Entry(f"{folder}/amx.so", "ab" * 32, 1),
        verify.Entry(f"{folder}/amx.py", "cd" * 32, 1),
    ]
    (speech,) = sbom.own_packages(files, "1.0")
    (library,) = speech["components"]
    assert (speech["name"], speech["version"]) == ("glagol-speech", "1.0")
    assert (library["name"], library["hashes"][0]["content"]) == ("amx.so", "ab" * 32)
    assert library["licenses"] == speech["licenses"] == [sbom.OWN]
    assert not list(validator.iter_errors(bill | {"components": [speech]}))
    (other,) = sbom.own_packages(files[:1], "1.0")
    assert other["hashes"] != speech["hashes"]
