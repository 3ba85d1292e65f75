"""Read stored JSON objects; refuse versions and fields that this program does not know.

Stored JSON objects may have a `version`; without one they are of version 1, as all of release 0.1
are. A newer version or an unknown field is refused, since ignoring it could change the
meaning.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from glagol.core.errors import IntegrityError

__all__ = ["read"]

T = TypeVar("T")


def read(data: bytes, form: type[T], what: str, reads: int = 1) -> T:
    """The stored value.

    Args:
        data: A JSON object.
        form: A struct that forbids unknown fields and has no field `version`.
        what: Names it in the message.
        reads: The version that `form` describes.

    Raises:
        IntegrityError: `state_too_new`, naming the version found and the one that is read;
            `state_damaged`, it is no JSON object.
    """
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "state_damaged",
            f"{what} is no JSON object",
            "find the program that changed the stored data",
        ) from error
    found = fields.pop("version", 1)
    both = f"{what} has version {found!r}, this program reads version {reads}"
    if found != reads:
        raise _too_new(both)
    try:
        return msgspec.convert(fields, form)
    except msgspec.ValidationError as error:
        raise _too_new(f"{both}: {error}") from error


def _too_new(message: str) -> IntegrityError:
    return IntegrityError("state_too_new", message, "start the newer program that wrote it")
