"""Uploads that can be resumed: a file and a note on disk for each, whatever happens to the process.

The length of the file is how far the upload is, so nothing has to be recorded while it grows. While
a body with a checksum arrives, `ID.unchecked` holds the length before it, and that length counts:
after a crash the rest is cut off. The mark is removed when the checksum was found right and the
bytes are on the disk. A hash's inner state cannot be stored; after a restart what is there already
is read again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from glagol.asr.http.multipart import Upload
from glagol.asr.http.spool import host_error
from glagol.asr.jobs.inputs import FREE_BYTES_MIN
from glagol.asr.tus import marks
from glagol.asr.tus.reservations import Reservation, Reservations
from glagol.core import stored
from glagol.core.errors import HostError, InputError, IntegrityError, LimitError
from glagol.core.files import new_private_file, private_folder, sync_folder
from glagol.core.shares import ALONE

if TYPE_CHECKING:
    import asyncio
    from typing import BinaryIO

__all__ = ["EXPIRES_S", "UploadInfo", "Uploads", "Writer"]

EXPIRES_S: Final = 86_400.0
"""An upload that was not touched for so long is forgotten."""

SWEEP_S: Final = 60.0
FRESH_S: Final = 1.0
HASHES_MAX: Final = 64
READ_BYTES: Final = 1 << 20
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NOTE: Final = ".json"


class UploadInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of an upload beside its bytes.

    Attributes:
        length: How many bytes it will have.
        owner: Name of the key that made it; empty while keys are off.
        metadata: As the client sent it.
    """

    length: int
    owner: str = ""
    metadata: str = ""


class Uploads:
    """The folder. Methods wait for the disk, so an event loop calls them in a thread.

    Args:
        folder: Made if need be.
        limit_bytes: Of one upload.
        quota_bytes: Of all together, finished or not; asked whenever it matters.
        clock: Unix seconds, as the file system has them.
        alone: The part of the quota that one owner may reserve.

    Attributes:
        limit_bytes: Of one upload.
        writing: The requests of this process that write, by upload.

    Raises:
        HostError: `host_io`, `disk_full`.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        quota_bytes: Callable[[], int],
        clock: Callable[[], float] = time.time,
        alone: float = ALONE,
    ) -> None:
        self._folder = folder
        self._reservations = Reservations(alone)
        self._swept_s = self._seen_s = -math.inf
        self.limit_bytes = limit_bytes
        self.writing: dict[str, asyncio.Task[int]] = {}
        self._quota_bytes = quota_bytes
        self._clock = clock
        self._hashes: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._marks = marks.Marks(folder)
        with _host_errors():
            private_folder(folder)

    def create(self, note: UploadInfo, owner: str = "") -> str:
        """Begin an upload; its room is taken at once.

        Args:
            note: What the upload will be.
            owner: Whose share it uses; empty: that of `note.owner`.

        Returns:
            Its id.

        Raises:
            LimitError: `upload_too_large`, `spool_full`, `share_used`, `busy`.
            HostError: `disk_full`, `host_io`.
        """
        if note.length > self.limit_bytes:
            raise LimitError(
                "upload_too_large",
                f"the upload would be larger than {self.limit_bytes} bytes",
                "send a shorter or compressed file, or raise ASR_MAX_UPLOAD_BYTES",
            )
        upload_id = secrets.token_hex(16)
        with _host_errors():
            self._looked_around()
            reservation = Reservation(owner or note.owner, note.length)
            self._reservations.begin(upload_id, reservation, self._quota_bytes())
            try:
                self._begin(upload_id, note)
            except BaseException:
                self._reservations.drop(upload_id)
                raise
            self._reservations.begun(upload_id)
        return upload_id

    def _begin(self, upload_id: str, note: UploadInfo) -> None:
        free = shutil.disk_usage(self._folder).free
        if free - self._reservations.missing < FREE_BYTES_MIN:
            raise HostError("disk_full", "no space left for the upload", "free space in ASR_STATE")
        self._path(upload_id).touch(mode=0o600, exist_ok=False)
        part = self._path(f".{upload_id}")
        with new_private_file(part) as file:
            file.write(msgspec.json.encode(note))
            os.fsync(file.fileno())
        part.rename(self._path(upload_id + _NOTE))  # only now the upload exists
        sync_folder(self._folder)

    def look(self, upload_id: str, owner: str) -> tuple[UploadInfo, int]:
        """An upload and how many bytes of it are there.

        Raises:
            InputError: `upload_unknown`.
            IntegrityError: `state_too_new`, here and wherever an upload is named.
        """
        if not _ID.fullmatch(upload_id):
            raise _unknown()
        note, size = self._read(upload_id)
        if note.owner != owner:
            raise _unknown()
        return note, size

    @contextlib.contextmanager
    def writer(
        self, upload_id: str, owner: str, offset: int, *, whole: bool = False
    ) -> Iterator[Writer]:
        """The right to append, one at a time; what was written is on the disk afterwards.

        Args:
            upload_id: Which upload.
            owner: Whose it is.
            offset: How many bytes the caller believes to be there.
            whole: Nothing of what is written counts before `Writer.confirm`, not even after a
                crash; without it each byte counts as soon as it is written.

        Raises:
            InputError: `upload_unknown`; `upload_state`, the offset is another one, or another
                request is writing.
            HostError: `host_io`, `disk_full`.
        """
        note, _ = self.look(upload_id, owner)
        with _host_errors(), self._path(upload_id).open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _state("another request is writing it", "ask for the offset again") from None
            size = self._mended(upload_id, file)
            if offset != size:
                raise _state(f"{size} bytes are there, not {offset}", "continue from Upload-Offset")
            known, digest = self._hashes.pop(upload_id, (-1, None))
            digest = digest if known == size else _hash_of(file)
            if whole:
                self._marks.put(upload_id, size)
            writer = Writer(file, note.length, size, digest, confirmed=not whole)
            try:
                yield writer
            finally:
                writer.settle()
                if whole:
                    self._marks.clear(upload_id)
                self._hashes[upload_id] = (writer.size, writer.digest)
                while len(self._hashes) > HASHES_MAX:
                    self._hashes.popitem(last=False)

    def finished(self, upload_id: str, owner: str) -> Upload:
        """The file of an upload that is complete, with its digest.

        Raises:
            InputError: `upload_unknown`; `upload_state`, bytes are missing; `audio_empty`.
            HostError: `host_io`.
        """
        note, size = self.look(upload_id, owner)
        if size < note.length:
            raise _state(f"{note.length - size} bytes are missing", "send the rest first")
        if not size:
            raise InputError("audio_empty", "the audio has no bytes", "send a file with audio")
        with _host_errors():
            file = self._path(upload_id).open("rb")
            known, digest = self._hashes.get(upload_id, (-1, None))
            if known != size:
                digest = _hash_of(file)
                self._hashes[upload_id] = (size, digest)
            file.seek(0)
        return Upload(file, digest.hexdigest(), size)

    def drop(self, upload_id: str) -> None:
        """Forget an upload, if it is there."""
        self._hashes.pop(upload_id, None)
        self._reservations.drop(upload_id)
        with _host_errors():
            self._path(upload_id + _NOTE).unlink(missing_ok=True)
            self._path(upload_id).unlink(missing_ok=True)
            self._path(upload_id + marks.SUFFIX).unlink(missing_ok=True)

    def expires_s(self, upload_id: str) -> float:
        """When an upload expires unless a request touches it, Unix seconds.

        Raises:
            InputError: `upload_unknown`.
        """
        try:
            return self._path(upload_id).stat().st_mtime + EXPIRES_S
        except OSError:
            raise _unknown() from None

    def sweep(self) -> None:
        """Forget what was not touched for `EXPIRES_S`, and what is no upload."""
        now = self._swept_s = self._clock()
        self._seen_s = -math.inf
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > EXPIRES_S:
                    name = path.name.removesuffix(_NOTE).removesuffix(marks.SUFFIX)
                    data = self._path(name)
                    if not (data.exists() and now - data.stat().st_mtime <= EXPIRES_S):
                        path.unlink()

    def _read(self, upload_id: str) -> tuple[UploadInfo, int]:
        try:
            note = stored.read(
                self._path(upload_id + _NOTE).read_bytes(), UploadInfo, "this upload"
            )
            before = self._marks.counted(upload_id, note.length)
            size = self._path(upload_id).stat().st_size
            # twice: a mark may come or go meanwhile, and what it held back may have been cut off
            return note, min(before, size, self._marks.counted(upload_id, size))
        except OSError:
            raise _unknown() from None
        except IntegrityError as error:
            if error.code == "state_damaged":  # as a crash may leave it
                raise _unknown() from None
            raise

    def _mended(self, upload_id: str, file: BinaryIO) -> int:
        """Cut off what a crash left of a body that was never confirmed; the length is then true.

        Call it with the file's lock: without, the mark may be that of a body that arrives now.
        """
        size = file.seek(0, os.SEEK_END)
        counts = self._marks.counted(upload_id, size)
        if counts < size:
            file.truncate(counts)
            os.fsync(file.fileno())
        if self._marks.there(upload_id):
            self._marks.clear(upload_id)
        return file.seek(0, os.SEEK_END)

    def _looked_around(self) -> None:
        """Know what is in the folder: other processes and other days have uploads there, too."""
        now = self._clock()
        if now - self._swept_s > SWEEP_S:
            self.sweep()
        if now - self._seen_s <= FRESH_S:
            return
        self._seen_s = now
        with os.scandir(self._folder) as entries:
            found = {entry.name: entry for entry in entries}
        missing, reservations = 0, {}
        for upload_id in (name.removesuffix(_NOTE) for name in found if name.endswith(_NOTE)):
            with contextlib.suppress(InputError, IntegrityError, KeyError, FileNotFoundError):
                # just removed, or a newer program's
                known = self._reservations.of(upload_id) or self._noted(upload_id)
                missing += known.length - found[upload_id].stat().st_size
                reservations[upload_id] = known
        self._reservations.seen(reservations, missing)

    def _noted(self, upload_id: str) -> Reservation:
        note, _ = self._read(upload_id)
        return Reservation(note.owner, note.length)

    def _path(self, name: str) -> Path:
        return self._folder / name


class Writer:
    """Appends to one upload.

    Args:
        file: At its end.
        length: More than this is refused.
        size: Bytes that are there.
        digest: sha256 of them.
        confirmed: Whether what is written counts without `confirm`.
    """

    def __init__(
        self, file: BinaryIO, length: int, size: int, digest: Any, *, confirmed: bool = True
    ) -> None:
        self._file = file
        self._length = length
        self._begin, self._before = size, digest.copy()
        self._confirmed = confirmed
        self.size = size
        self.digest = digest

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            LimitError: `upload_too_large`, it is more than was announced.
            HostError: `disk_full`, `host_io`.
        """
        if self.size + len(data) > self._length:
            raise LimitError(
                "upload_too_large",
                f"there is more than the {self._length} bytes of Upload-Length",
                "begin an upload with the right length",
            )
        with _host_errors():
            self._file.seek(self.size)
            self._file.write(data)
            self._file.flush()
        self.digest.update(data)
        self.size += len(data)

    def confirm(self) -> None:
        """Let everything that this writer wrote count."""
        self._confirmed = True

    def settle(self) -> None:
        """Bring what counts, and nothing else, to the disk.

        Raises:
            HostError: `disk_full`, `host_io`.
        """
        if not self._confirmed:
            self.size, self.digest = self._begin, self._before
        with _host_errors():
            self._file.truncate(self.size)
            self._file.flush()
            os.fsync(self._file.fileno())


def _hash_of(file: BinaryIO) -> Any:
    """sha256 of a file from its beginning."""
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(READ_BYTES):
        digest.update(data)
    return digest


@contextlib.contextmanager
def _host_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise host_error(error, "ASR_STATE") from error


def _unknown() -> InputError:
    return InputError("upload_unknown", "there is no such upload", "begin one: POST /v1/uploads")


def _state(message: str, remedy: str) -> InputError:
    return InputError("upload_state", message, remedy)
