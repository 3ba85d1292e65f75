"""Settings from environment variables: one table of fields, strict values, hints for slips.

A server keeps one table that says for each variable its name, the attribute it fills and what it
takes; the error for a bad value is made from the same row, so message and check cannot drift apart.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from glagol.core.errors import InputError

__all__ = [
    "LOG_LEVELS",
    "LOOPBACK",
    "Field",
    "choice",
    "folder",
    "integer",
    "number",
    "read",
    "state_home",
    "unknown",
    "url",
    "word",
]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Parse = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One environment variable.

    Attributes:
        name: The variable.
        attribute: The attribute of the server's settings that it fills.
        takes: The allowed range in words, as the error message says it.
        parse: Text to value; raises ValueError for anything outside the range.
        secret: The value must not be shown.
    """

    name: str
    attribute: str
    takes: str
    parse: Parse
    secret: bool = False


def read(
    fields: Sequence[Field], environment: Mapping[str, str], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that the environment gives, by attribute; an empty one counts as unset.

    Args:
        fields: The server's table.
        environment: Usually `os.environ`; names outside the table are ignored.
        defaults: By attribute, for the error message.

    Raises:
        InputError: `setting_invalid`, naming the variable, its value and what it takes.
    """
    values = {}
    for field in fields:
        text = environment.get(field.name)
        if not text:
            continue
        try:
            values[field.attribute] = field.parse(text.strip())
        except ValueError:
            shown = "***" if field.secret else repr(text)
            raise InputError(
                "setting_invalid",
                f"{field.name}={shown} is not {field.takes}",
                f"set {field.name} to {field.takes}, or unset it for the default"
                f" ({defaults[field.attribute]!r})",
            ) from None
    return values


def unknown(
    prefix: str, fields: Sequence[Field], environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Set variables that begin with `prefix` but mean nothing, each with a hint if one is near."""
    known = [field.name for field in fields]
    notes = []
    for name in sorted(environment):
        if name.startswith(prefix) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            notes.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return tuple(notes)


def state_home(environment: Mapping[str, str]) -> str:
    """Where programs of this user keep their state, by the XDG base directory specification.

    Empty when the environment names no home.
    """
    given = environment.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return f"{given.rstrip('/')}/glagol"
    home = environment.get("HOME", "")
    return f"{home.rstrip('/')}/.local/state/glagol" if home.startswith("/") else ""


def integer(low: int, high: int) -> Parse:
    """Takes a whole number `low..high`.

    Raises:
        ValueError: By what it gives, for a text that is nothing of the kind.
    """

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def number(low: float, high: float) -> Parse:
    """Takes a finite number `low..high`.

    Raises:
        ValueError: By what it gives, for a text that is nothing of the kind.
    """

    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(text)
        return value

    return parse


def choice(*allowed: str) -> Parse:
    """Takes one of `allowed`, in any case.

    Raises:
        ValueError: By what it gives, for a text that is nothing of the kind.
    """

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(text)
        return text.lower()

    return parse


def word(text: str) -> str:
    """Takes printable text without spaces.

    Raises:
        ValueError: The text is nothing of the kind.
    """
    if not text or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(text)
    return text


def url(*schemes: str) -> Parse:
    """Takes an address that begins with one of `schemes`, such as `http`.

    Raises:
        ValueError: By what it gives, for a text that is nothing of the kind.
    """

    def parse(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(text)
        return word(text)

    return parse


def folder(text: str) -> str:
    """Takes a path; made absolute.

    Raises:
        ValueError: The text is nothing of the kind.
    """
    if not text or "\0" in text:
        raise ValueError(text)
    return str(Path(text).absolute())
