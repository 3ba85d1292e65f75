"""Map errors of the stand-alone verifier to the table of errors."""

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
    """An error of the family that the table gives to `code`."""
    return CODES[code].family(code, message, remedy)


def of(found: BundleError) -> GlagolError:
    """The same error under the table."""
    return error(found.code, found.message, found.remedy)


def stop(found: BundleError) -> None:
    """Fault handler for `verify.read` that raises at the first fault.

    Raises:
        BundleError: always.
    """
    raise found


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of the verifier and of the operating system into those of the table.

    Raises:
        GlagolError: for each `BundleError`, with the same code, message and remedy.
        HostError: `bundle_tool`, there is no ssh-keygen; `host_io`, a medium cannot be read.
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
