"""Translate errors of the stand-alone verifier into errors of `glagol.core.errors`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.bundle.verify import BundleError
from glagol.core.errors import CODES
from glagol.core.files import host_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.core.errors import GlagolError

REMEDIES = {
    "bundle_tool": "install it; Debian: apt install openssh-client age",
}


def error(code: str, message: str, remedy: str) -> GlagolError:
    """Make an error with `code`, of the family that `CODES` gives to it."""
    return CODES[code].family(code, message, remedy)


def of(found: BundleError) -> GlagolError:
    """Translate an error of the verifier; code, message and remedy stay the same."""
    return error(found.code, found.message, found.remedy)


def stop(found: BundleError) -> None:
    """Raise `found`: the fault handler for a `verify.read` that stops at the first fault.

    Raises:
        BundleError: always.
    """
    raise found


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of the verifier and of the operating system that the block raises.

    Raises:
        GlagolError: for each `BundleError`, with the same code, message and remedy.
        HostError: `bundle_tool`, ssh-keygen is not installed; `host_io`, the bundle cannot be read.
    """
    try:
        yield
    except BundleError as found:
        raise of(found) from found
    except OSError as found:
        if found.filename == "ssh-keygen":
            text = f"the signature cannot be checked: ssh-keygen: {found.strerror}"
            raise error("bundle_tool", text, REMEDIES["bundle_tool"]) from found
        raise host_error(found, Path("the bundle")) from found
