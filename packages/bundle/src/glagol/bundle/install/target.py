"""Layout of an installation, and reading its state.

TARGET/.glagol-target       this folder is ours; also the lock for changes
TARGET/current              -> generations/N, moved by one rename: this is the cut-over
TARGET/generations/N        -> ../releases/NAME-ID; rolling back means N - 1
TARGET/releases/NAME-ID/    src, wheels, env (in full env-llm), bin, units; linked to the store
TARGET/store/sha256/..      every file of every release by digest: the registry's store
TARGET/signers              allowed_signers of the first installation
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glagol.bundle.errors import error
from glagol.core.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.bundle.install.disk import Disk

MARKER = ".glagol-target"
_MARK = b'{"format":1}\n'


@dataclass(frozen=True, slots=True)
class Blobs:
    """The registry's store, as far as an installation needs it, without the registry's msgspec.

    Attributes:
        root: the folder of the store.
    """

    root: Path

    def path_of(self, sha256: str) -> Path:
        """Where the blob of a digest lies, or would lie."""
        return self.root / "sha256" / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        """Whether there is a file for this digest; its bytes are not checked."""
        return self.path_of(sha256).is_file()

    def verify(self, sha256: str) -> bool:
        """Whether the blob is there and every byte of it is right."""
        try:
            with self.path_of(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Installed:
    """A release on the target.

    Attributes:
        generation: its number in `generations`.
        folder: name in `releases`.
        index: its bundle.json.
    """

    generation: int
    folder: str
    index: dict[str, Any]

    @property
    def age(self) -> tuple[tuple[int, ...], int]:
        """Order of releases for the downgrade check: version, then manifest version."""
        return age(self.index)


def age(index: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """Version and manifest version of an index, comparable."""
    digits = str(index["version"]).replace("+", ".").split(".")
    return tuple(int(part) for part in digits if part.isdigit()), int(index["manifest_version"])


@dataclass(frozen=True, slots=True)
class Target:
    """An installation folder.

    Attributes:
        root: the folder, absolute.
    """

    root: Path

    @property
    def store(self) -> Blobs:
        """Every file of every release."""
        return Blobs(self.root / "store")

    @property
    def current(self) -> Path:
        """The link that services run through."""
        return self.root / "current"

    @property
    def signers(self) -> Path:
        """Whose signatures count here."""
        return self.root / "signers"

    def release(self, folder: str) -> Path:
        """Where a release lies."""
        return self.root / "releases" / folder

    def generation(self, number: int) -> Path:
        """The link of a generation."""
        return self.root / "generations" / str(number)

    def kind(self) -> Literal["absent", "empty", "ours", "foreign"]:
        """Kind of the folder; leftovers of a killed first step count as empty."""
        if not self.root.exists():
            return "absent"
        if not self.root.is_dir():
            return "foreign"
        if (self.root / MARKER).is_file():
            return "ours"
        left = {path.name for path in self.root.iterdir()} - {MARKER + ".partial"}
        return "foreign" if left else "empty"

    def generations(self) -> list[Installed]:
        """Every release that a generation names, oldest first."""
        found = []
        with suppress(FileNotFoundError):
            for link in (self.root / "generations").iterdir():
                installed = self._installed(link) if link.name.isdigit() else None
                if installed is not None:
                    found.append(installed)
        return sorted(found, key=lambda item: item.generation)

    def running(self) -> Installed | None:
        """The release that `current` names."""
        return self._installed(self.current) if self.current.is_symlink() else None

    def _installed(self, link: Path) -> Installed | None:
        try:
            name = link.readlink().name if link == self.current else link.name
            number = int(name)
            folder = self.generation(number).readlink().name
            index = json.loads((self.release(folder) / "bundle.json").read_bytes())
        except (OSError, ValueError):
            return None
        return Installed(number, folder, index)

    @contextmanager
    def changing(self, disk: Disk) -> Iterator[None]:
        """Claim the folder and keep others from changing it meanwhile.

        Raises:
            LimitError: `busy`, another process changes it.
        """
        disk.folder(self.root)
        marker = self.root / MARKER
        if not marker.exists():
            disk.file(marker, [_MARK], 0o644)
        with marker.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LimitError(
                    "busy", f"{self.root} is being changed by another process", "wait for it"
                ) from None
            yield

    def need(self) -> None:
        """Check that the folder is an installation.

        Raises:
            InputError: `bundle_target`.
        """
        if self.kind() != "ours":
            raise error("bundle_target", f"{self.root} is not an installation", "check the path")
