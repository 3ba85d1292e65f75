"""Errors of this package: what the stand-alone verifier says, under the one table of errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from glagol.bundle.verify import BundleError
from glagol.registry.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.registry.errors import GlagolError

REMEDIES = {
    "bundle_base": "bring the full bundle, or install the base first",
    "bundle_tool": "install it; Debian: apt install openssh-client age",
}


def error(code: str, message: str, remedy: str) -> GlagolError:
    """An error of the family that the table gives to `code`."""
    return CODES[code].family(code, message, remedy)


def of(found: BundleError) -> GlagolError:
    """The same error under the table."""
    return error(found.code, found.message, found.remedy)


def stop(found: BundleError) -> None:
    """A fault handler for `verify.read` that lets no fault pass.

    Raises:
        BundleError: always.
    """
    raise found


@contextmanager
def translated() -> Iterator[None]:
    """Turn the verifier's errors into those of the table.

    Raises:
        GlagolError: for each `BundleError`, with the same code, message and remedy.
    """
    try:
        yield
    except BundleError as found:
        raise of(found) from found
