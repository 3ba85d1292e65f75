"""Check whether a bundle can be installed on this machine: a pure function of index and facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glagol.bundle.errors import error
from glagol.bundle.install.target import Installed, age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.core.errors import GlagolError

MARGIN_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the machine and the folder of the installation.

    Attributes:
        system: such as `x86_64-linux`.
        glibc: version, such as `2.36`; empty when the C library is not glibc.
        python: version, such as `3.11`, of an interpreter for which the bundle has wheels, else of
            any that was found; empty if none was found.
        target: path of the folder, for messages.
        kind: what the folder is; `ours` is an installation of Glagol, `foreign` holds other files.
        running: the release that runs there now.
        free_bytes: free bytes on the folder's disk.
        needed_bytes: bytes that this installation will write.
    """

    system: str
    glibc: str
    python: str
    target: str
    kind: Literal["absent", "empty", "ours", "foreign"]
    running: Installed | None
    free_bytes: int
    needed_bytes: int


def preflight(index: dict[str, Any], facts: Facts, *, downgrade: bool) -> Iterator[GlagolError]:
    """Yield an error for each reason against the installation; none when it may start.

    Args:
        index: the content of bundle.json.
        facts: facts about machine and folder.
        downgrade: whether an older release than the running one is allowed.
    """
    requires = index["requires"]
    if facts.kind == "foreign":
        yield error(
            "bundle_target",
            f"{facts.target} holds files that are not Glagol's",
            "choose an empty or new folder",
        )
    if facts.system != requires["system"]:
        yield _platform(f"is for {requires['system']}, this is {facts.system}")
    elif _version(facts.glibc) < _version(requires["glibc"]):
        here = f"glibc {facts.glibc}" if facts.glibc else "no glibc"
        yield _platform(f"needs glibc {requires['glibc']} or later, this machine has {here}")
    if facts.python not in requires["python"].split(","):
        yield error(
            "bundle_platform",
            f"the bundle needs Python {requires['python'].replace(',', ' or ')},"
            f" found {facts.python or 'none'}",
            "install that Python, or get a bundle packed with --python and this machine's version",
        )
    if facts.running is not None and age(index) < facts.running.age and not downgrade:
        yield error(
            "bundle_downgrade",
            f"{index['name']} is older than the running {facts.running.index['name']}",
            "use rollback to return, or --downgrade to install the older one on purpose",
        )
    if facts.free_bytes < facts.needed_bytes + MARGIN_BYTES:
        missing = facts.needed_bytes + MARGIN_BYTES - facts.free_bytes
        yield error(
            "disk_full",
            f"{facts.target} has {facts.free_bytes} bytes free, {missing} too few",
            "free some space (glagol bundle gc), or choose a folder on another disk",
        )


def _platform(message: str) -> GlagolError:
    return error("bundle_platform", f"the bundle {message}", "get the bundle for this machine")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
