"""The rows of `policy.toml`, made from its types, for the reference of settings."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from glagol.core.settings import Row, Takes, Text
from glagol.web.access.policy import Policy

__all__ = ["rows"]

_NOUNS: Final = {
    bool: ("true or false", "true или false", "", ""),
    int: ("a whole number", "целое число", "whole numbers", "целые числа"),
    float: ("a number", "число", "numbers", "числа"),
    str: ("text", "текст", "texts", "строки"),
}


def rows() -> tuple[Row, ...]:
    """One row for each value of the file, named `section.name`.

    Raises:
        LookupError: A value of the file has no text.
    """
    return tuple(
        _row(section.name, field, get_type_hints(section.type, include_extras=True)[field.name])
        for section in msgspec.structs.fields(Policy)
        for field in msgspec.structs.fields(section.type)
    )


def _row(section: str, field: msgspec.structs.FieldInfo, hint: Any) -> Row:
    name = f"{section}.{field.name}"
    texts = [part for part in _notes(hint) if isinstance(part, Text)]
    if not texts:
        raise LookupError(f"{name} has no text")
    takes = Takes(_words(hint), _words(hint, russian=True), str)
    return Row(name, field.name, field.default, takes, texts[0].text, texts[0].text_ru)


def _notes(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _words(hint: Any, *, russian: bool = False) -> str:
    """Type and range in words."""
    plain = get_args(hint)[0] if _notes(hint) else hint
    listed = get_origin(plain) is tuple
    item = get_args(plain)[0] if listed else hint
    bounds = [note for note in _notes(item) if isinstance(note, Meta)]
    base = get_args(item)[0] if _notes(item) else item
    one, one_ru, many, many_ru = _NOUNS[base]
    noun = (many_ru if russian else many) if listed else (one_ru if russian else one)
    span = f" {bounds[0].ge}..{bounds[0].le}" if bounds else ""
    lead = ("список: " if russian else "a list of ") if listed else ""
    return f"{lead}{noun}{span}"
