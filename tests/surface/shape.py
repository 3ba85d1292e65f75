"""The form of a JSON value without its content, and where two values differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["SEPARATOR", "canonical", "differences", "merged", "shape"]

SEPARATOR = " > "
NULLABLE = "null or"
OPEN = {"artifacts", "digests"}
_NAMES: dict[type, str] = {
    type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string",
}  # fmt: skip


def shape(value: Any, name: str = "") -> Any:
    """Names of types instead of values; a list is the one form that fits all its elements.

    A map whose names are data (see `OPEN`) has the one name `*`.
    """
    if isinstance(value, dict):
        if name in OPEN:
            return {"*": merged(shape(each, name) for each in value.values())} if value else {}
        return {inner: shape(each, inner) for inner, each in value.items()}
    if isinstance(value, list):
        return [merged(shape(each) for each in value)] if value else []
    return _NAMES[type(value)]


def merged(shapes: Iterable[Any]) -> Any:
    """The form that fits all; a field that not every one has gets a question mark."""
    found = list(shapes)
    if all(each == found[0] for each in found):
        return found[0]
    plain = [each for each in found if each != "null" and not _nullable(each)]
    inner = [*plain, *(each[NULLABLE] for each in found if _nullable(each))]
    if inner and len(plain) < len(found) and all(isinstance(each, dict) for each in inner):
        return {NULLABLE: merged(inner)}
    if all(isinstance(each, dict) for each in found):
        return _fields(found)
    if all(isinstance(each, list) for each in found):
        return [merged(each[0] for each in found if each)]
    assert all(isinstance(each, str) for each in found), f"a value and a structure: {found}"
    return " | ".join(sorted({kind for each in found for kind in each.split(" | ")}))


def _nullable(form: Any) -> bool:
    return isinstance(form, dict) and form.keys() == {NULLABLE}


def _fields(found: list[dict[str, Any]]) -> dict[str, Any]:
    names = {name.removesuffix("?") for each in found for name in each}
    fields = {}
    for name in names:
        there = [each[key] for each in found for key in (name, f"{name}?") if key in each]
        always = all(name in each for each in found)
        fields[name if always else f"{name}?"] = merged(there)
    return fields


def canonical(value: Any) -> str:
    """Pretty JSON of one form: sorted names, a newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def differences(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each place where two JSON values differ, as (path, what); a new or lost part is one place."""
    where = SEPARATOR.join(path)
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            inner = (*path, name)
            if name not in after:
                yield SEPARATOR.join(inner), "is gone"
            elif name not in before:
                yield SEPARATOR.join(inner), "is new"
            else:
                yield from differences(before[name], after[name], inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, (*path, str(index)))
    elif before != after or type(before) is not type(after):
        yield where, f"was {json.dumps(before)[:200]}, is {json.dumps(after)[:200]}"
