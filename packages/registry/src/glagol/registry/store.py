"""Content-addressed store of model files: added atomically, verified whenever opened.

    ROOT/sha256/9c/cdacc4...        a blob, mode 0444, named by its own digest
    ROOT/sha256/9c/cdacc4....receipt    size, times and inode of a hashed blob (`Trust.receipt`)
    ROOT/sha256/9c/cdacc4....partial    a download of `fetch` that is not complete
    ROOT/incoming/                  files being copied in; those of a killed copy may be deleted

Rules:

1. a blob gets its name only after its bytes were hashed and synced, by one atomic rename, so a kill
   or a full disk at any moment leaves no half blob and concurrent writers of one digest agree;
2. an opened blob is the very mapping that was hashed, so replacing the file by rename between
   check and use has no effect. A mapping is not a copy: a program that writes into the file in
   place (mode 0444 allows that to its owner and root only) also changes the mapped bytes. A write
   during the hash is detected when it changes the file's size or modification time. A write after
   the hash and before a session has copied the weights is not detected; later ones do no harm. A
   copy would be safe from this, and would double the memory that opening takes;
3. Glagol replaces a blob by rename and never writes in place, so open mappings keep their bytes;
4. the store repairs nothing: wrong bytes are an `IntegrityError` for the operator.
"""

from __future__ import annotations

import enum
import hashlib
import mmap
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from glagol.core.errors import IntegrityError
from glagol.core.files import host_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from glagol.registry.manifest.types import Artifact

_COPY_BYTES = 1 << 20
# A file changed again within one tick of the file system's clock keeps its times, so a receipt
# counts only when it was written this much later than the blob was changed (git's "racy" rule).
_RECEIPT_AGE_NS = 2_000_000_000


class Trust(enum.StrEnum):
    """How an opened blob is verified.

    Attributes:
        rehash: hash every byte at every open (the default).
        receipt: skip the hash when size, times and inode are those recorded after an earlier hash;
            an operator's choice, for stores that nothing else writes to.
    """

    rehash = "rehash"
    receipt = "receipt"


@dataclass(frozen=True, slots=True)
class Blob:
    """Verified bytes of one artifact.

    Attributes:
        sha256: digest of `data`, lower-case hexadecimal.
        data: read-only mapping of the file; stays valid as long as anything refers to it.
    """

    sha256: str
    data: memoryview


class _Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identity of a file at the moment its digest was right; any write changes `ctime_ns`."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, stat: os.stat_result) -> _Receipt:
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)


@dataclass(frozen=True, slots=True)
class Store:
    """A directory of blobs named by their SHA-256; the first write makes it.

    Attributes:
        root: the directory. Processes may share it; blobs can be opened from a read-only one.
    """

    root: Path

    def path_of(self, sha256: str) -> Path:
        """Where the blob of a digest lies, or would lie."""
        return self.root / "sha256" / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        """Whether there is a file for this digest; its bytes are not checked."""
        return self.path_of(sha256).is_file()

    def verify(self, sha256: str) -> bool:
        """Whether the blob is there and every byte of it is right.

        Raises:
            HostError: `host_io`, the blob exists but cannot be read.
        """
        with _host_errors(self.path_of(sha256)):
            try:
                with self.path_of(sha256).open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest() == sha256
            except FileNotFoundError:
                return False

    def add_file(self, path: Path, expected: str | None = None) -> str:
        """Copy a file into the store.

        Args:
            path: the file.
            expected: the digest that it must have; None for any.

        Returns:
            Its digest.

        Raises:
            IntegrityError: `artifact_altered`, the digest is not the expected one.
            HostError: `disk_full` or `host_io`.
        """
        if expected is not None and self.verify(expected):
            return expected
        with _host_errors(path), path.open("rb") as source:
            return self._add(iter(lambda: source.read(_COPY_BYTES), b""), path.name, expected)

    def add_bytes(self, data: bytes | memoryview, expected: str | None = None) -> str:
        """Write bytes into the store; `expected` is as for `add_file`.

        Returns:
            Their digest.

        Raises:
            IntegrityError: `artifact_altered`, the digest is not the expected one.
            HostError: `disk_full` or `host_io`.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        if expected in {None, sha256} and self.verify(sha256):
            return sha256
        return self._add(iter([data]), "the given bytes", expected)

    def open(
        self,
        artifact: Artifact,
        trust: Trust = Trust.rehash,
        *,
        model_id: str = "ID",
        built: bool = False,
    ) -> Blob:
        """Map an artifact into memory and verify the mapped bytes.

        Args:
            artifact: the expected digest and size; its path is only for messages.
            trust: whether the receipt of an earlier hash is accepted instead of hashing.
            model_id: names the model in the remedy.
            built: whether a builder makes the artifact; the remedy then is a build, else a fetch.

        Returns:
            The blob.

        Raises:
            IntegrityError: `artifact_missing` or `artifact_altered`, naming file and digests.
            HostError: `host_io`, the file cannot be read.
        """
        path = self.path_of(artifact.sha256)
        with _host_errors(path):
            try:
                file = path.open("rb")
            except FileNotFoundError as error:
                raise IntegrityError(
                    "artifact_missing",
                    f"{artifact.path} of {model_id} is not in the store: "
                    f"no {path}, expected sha256 {artifact.sha256}",
                    _remedy(model_id, built=built),
                ) from error
            with file:
                return _verified(file, artifact, trust, model_id, built=built)

    def adopt(self, path: Path, sha256: str) -> Path:
        """Sync a complete file inside `root` and rename it to its blob name.

        The caller has hashed every byte of it; nothing may write to it any more.

        Args:
            path: the file, on the file system of `root`.
            sha256: its digest.

        Returns:
            The path of the blob.

        Raises:
            HostError: `disk_full` or `host_io`.
        """
        target = self.path_of(sha256)
        with _host_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                path.replace(target)
                os.fchmod(descriptor, 0o444)  # last: a read-only partial file cannot be continued
            finally:
                os.close(descriptor)
            _sync_directory(target.parent)
        return target

    def _add(self, parts: Iterator[bytes | memoryview], name: str, expected: str | None) -> str:
        incoming = self.root / "incoming"
        hasher = hashlib.sha256()
        with _host_errors(incoming):
            incoming.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=incoming)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for part in parts:
                        file.write(part)
                        hasher.update(part)
                sha256 = hasher.hexdigest()
                if expected not in {None, sha256}:
                    raise IntegrityError(
                        "artifact_altered",
                        f"{name} has sha256 {sha256}, expected {expected}",
                        "get the file again from where it came",
                    )
                self.adopt(Path(temporary), sha256)
            finally:
                Path(temporary).unlink(missing_ok=True)
        return sha256


def _verified(
    file: BufferedReader, artifact: Artifact, trust: Trust, model_id: str, *, built: bool
) -> Blob:
    before = os.fstat(file.fileno())
    receipt = Path(f"{file.name}.receipt")
    if before.st_size == artifact.size_bytes:  # also: an empty file cannot be mapped
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if trust == Trust.receipt and _is_valid(receipt, _Receipt.of(before)):
            return Blob(artifact.sha256, data)
        found = hashlib.sha256(data).hexdigest()
        after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise IntegrityError(
                "artifact_altered",
                f"{artifact.path} of {model_id} was written while it was read: {file.name}",
                "find the process that writes into the store, stop it, and open the model again",
            )
    else:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        raise IntegrityError(
            "artifact_altered",
            f"{artifact.path} of {model_id} is not the pinned file: {file.name} has sha256 {found} "
            f"({before.st_size} bytes), expected {artifact.sha256} ({artifact.size_bytes} bytes)",
            _remedy(model_id, built=built),
        )
    if trust == Trust.receipt and _Receipt.of(os.fstat(file.fileno())) == _Receipt.of(before):
        _write_receipt(receipt, _Receipt.of(before))
    return Blob(artifact.sha256, data)


def _is_valid(receipt: Path, now: _Receipt) -> bool:
    """Whether a receipt was written for the file as it is now, and late enough to be trusted."""
    try:
        written_ns = receipt.stat().st_mtime_ns
        then = msgspec.json.decode(receipt.read_bytes(), type=_Receipt)
    except (OSError, msgspec.DecodeError):
        return False
    return then == now and written_ns - now.ctime_ns >= _RECEIPT_AGE_NS


def _write_receipt(receipt: Path, content: _Receipt) -> None:
    with suppress(OSError):  # a read-only store has no receipts and is hashed each time
        descriptor, temporary = tempfile.mkstemp(dir=receipt.parent, prefix=".receipt-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(content))
            Path(temporary).replace(receipt)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _remedy(model_id: str, *, built: bool) -> str:
    fetch = f"`glagol models fetch {model_id} --mirror URL` brings it from a copy of a store"
    if built:
        return f"run `glagol models build {model_id} --fetch`; without a network {fetch}"
    return f"run `glagol models fetch {model_id}`; without a network {fetch}"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _host_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise host_error(error, path) from error
