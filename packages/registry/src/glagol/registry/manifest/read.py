"""Read `manifest.json` strictly; write its canonical JSON and its JSON Schema.

`manifest.json` is the one list of models that the code may open. A reader checks in this order:

1. the bytes are UTF-8 JSON of at most 8 MiB, without duplicate keys, every number finite;
2. `min_reader_version` is at most `READER_VERSION`;
3. every field is known and has its type, digests are lower-case hexadecimal, sizes positive;
4. the rules of `glagol.registry.manifest.rules` hold.

The types live in `glagol.registry.manifest.types` and are re-exported here.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec

from glagol.core.errors import IntegrityError
from glagol.registry.manifest.rules import faults
from glagol.registry.manifest.types import (
    Artifact,
    Builder,
    Defaults,
    Golden,
    Manifest,
    Model,
    Source,
    SourceFile,
    Variant,
)

__all__ = [
    "MANIFEST_BYTES_MAX",
    "READER_VERSION",
    "Artifact",
    "Builder",
    "Defaults",
    "Golden",
    "Manifest",
    "Model",
    "Source",
    "SourceFile",
    "Variant",
    "canonical",
    "parse",
    "schema",
]

READER_VERSION = 3
"""Version 1 had a fixed list of five engines and no `role`. Version 2 added `role`; version 3 added
source files that are joined or come from a package index."""

MANIFEST_BYTES_MAX = 8 * 1024 * 1024


def parse(data: bytes) -> Manifest:
    """Read a manifest strictly.

    Args:
        data: the whole file.

    Returns:
        The manifest; every rule of this module and of `rules` holds for it.

    Raises:
        IntegrityError: `manifest_too_new`; `manifest_invalid`, the message names the places.
    """
    raw = _load(data)
    needed = raw.get("min_reader_version") if isinstance(raw, dict) else None
    if isinstance(needed, int) and needed > READER_VERSION:
        raise IntegrityError(
            "manifest_too_new",
            f"manifest.json needs a reader of version {needed}; this one is {READER_VERSION}",
            "upgrade Glagol, or use the manifest.json that came with this release",
        )
    try:
        manifest = msgspec.convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    found = list(faults(manifest))
    if found:
        raise _invalid("; ".join(found))
    return manifest


def canonical(manifest: Manifest) -> bytes:
    """Encode a manifest in its one byte form: sorted keys, 2-space indent, UTF-8, final newline."""
    return _dump(msgspec.to_builtins(manifest))


def schema() -> bytes:
    """JSON Schema (2020-12) of the manifest, canonical; committed as `manifest.schema.json`."""
    return _dump(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Glagol model registry",
            **msgspec.json.schema(Manifest),
        }
    )


def _dump(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _load(data: bytes) -> Any:
    if len(data) > MANIFEST_BYTES_MAX:
        raise _invalid(f"{len(data)} bytes are more than the limit of {MANIFEST_BYTES_MAX}")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:  # ValueError covers JSON and UTF-8 errors
        raise _invalid(f"not JSON: {error}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {max(keys, key=keys.count)!r} occurs twice in one object")
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _no_constant(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _invalid(what: str) -> IntegrityError:
    return IntegrityError(
        "manifest_invalid",
        f"manifest.json is not valid: {what}",
        "restore manifest.json from the release or from version control",
    )
