"""The files of the library: for each recording its original, its listening copy and its peaks.

`files/ab/ID/original` and so on, below a folder that only its owner may enter. Names are made here
alone; nothing that a client sends becomes part of a path.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from glagol.core.errors import InputError
from glagol.core.files import host_error, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Files", "Kind"]

Kind = Literal["original", "listen.mp4", "peaks.i8"]
_ID: Final = re.compile(r"[0-9a-z]{8,40}")
_PRIVATE: Final = 0o700


class Files:
    """The files below one folder.

    Args:
        root: Made when it is not there.

    Raises:
        HostError: `host_io`, `disk_full`; so does every method.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            root.chmod(_PRIVATE)
        except OSError as error:
            raise host_error(error, root) from error

    def path(self, recording: str, kind: Kind) -> Path:
        """Where a file of a recording is or will be.

        Raises:
            InputError: `recording_unknown`, this is no id.
        """
        return self._folder(recording) / kind

    def take(self, recording: str, source: Path, kind: Kind = "original") -> Path:
        """Move a file into the library; both lie on the same disk, so it is there whole or not.

        Args:
            recording: Id.
            source: The file; it is gone afterwards.
            kind: What it becomes.
        """
        target = self.path(recording, kind)
        try:
            target.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            source.chmod(0o600)
            with source.open("rb") as file:
                os.fsync(file.fileno())
            source.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise host_error(error, target) from error
        return target

    def remove(self, recording: str, kind: Kind | None = None) -> None:
        """Unlink one file of a recording, or all; what is not there is no error."""
        folder = self._folder(recording)
        try:
            if kind is None:
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder)
                with suppress(FileNotFoundError):
                    sync_folder(folder.parent)
            else:
                (folder / kind).unlink(missing_ok=True)
        except OSError as error:
            raise host_error(error, folder) from error

    def known(self) -> set[str]:
        """Ids of the recordings that have a folder."""
        return {folder.name for folder in self._root.glob("??/*") if folder.is_dir()}

    def _folder(self, recording: str) -> Path:
        if _ID.fullmatch(recording) is None:
            raise InputError(
                "recording_unknown", "there is no such recording", "see the list of recordings"
            )
        return self._root / recording[:2] / recording
