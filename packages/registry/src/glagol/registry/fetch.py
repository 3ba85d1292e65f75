"""Bring pinned bytes into the store from mirrors: local directories, HTTP(S) servers, S3 buckets.

This is the only module of the package that talks to a network. Mirrors are tried in order; each
may continue what an earlier one, or an earlier run, began:

1. bytes go to `BLOB.partial` beside the blob's final place, hashed as they are written;
2. a dropped connection keeps the partial file; the next attempt asks for the rest by range;
3. a complete file with the wrong digest is deleted. If part of it came from an earlier attempt, the
   same mirror is tried once more from the first byte; else the next mirror is tried;
4. a file with the right digest is synced and renamed to it. No unverified file has a blob's name.

A mirror is the address of a copy of the store (`MIRROR/sha256/9c/cdac...`), so a store on a USB
disk is one. The urls in the manifest name single files and are asked after the mirrors.
Two processes that want one digest take turns by a lock on the partial file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec
import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import HTTPStore, LocalStore, S3Store

from glagol.core.errors import InputError, IntegrityError
from glagol.core.files import host_error
from glagol.registry.credentials import KEY_REMEDY, has_key
from glagol.registry.manifest.types import Artifact, SourceFile
from glagol.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO

    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig

    Progress: TypeAlias = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 16  # at most so much is lost with a dropped connection
_REASON_CHARACTERS_MAX = 300  # a server may send its whole error page
_ATTEMPTS_MAX = 8  # of one mirror, as long as each brings new bytes
# A download of any length continues for as long as bytes arrive.
_CLIENT: ClientConfig = {
    "allow_http": True,  # the digest protects the bytes, so the transport need not
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(days=7),
}
_RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Expected digest and size of the complete file; None: not known."""

    sha256: str | None
    md5: str | None
    size: int | None


class _RefusedError(Exception):
    """One mirror did not deliver the file.

    Attributes:
        again: the same mirror may deliver it at another attempt.
        wrong: the mirror delivered bytes, or a size, other than the pinned ones.
    """

    def __init__(self, reason: str, *, again: bool = False, wrong: bool = False) -> None:
        super().__init__(reason)
        self.again = again
        self.wrong = wrong


def fetch(
    wanted: Artifact | SourceFile,
    store: Store,
    *,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Make sure that the store holds a pinned file, and return its path.

    Args:
        wanted: the pinned file; its urls are asked after the mirrors.
        store: where it goes. A blob that is there with wrong bytes is replaced.
        mirrors: addresses of copies of a store: file://, http://, https:// or s3://, in order.
        progress: called with (bytes done, bytes in all or None) after each chunk. What it raises
            stops the download, and the next call continues it.

    Returns:
        The blob's path; its bytes were verified by this call.

    Raises:
        InputError: `option_invalid`, a mirror is not an address of a known kind;
            `setting_invalid`, an s3:// mirror and no AWS_* credentials.
        IntegrityError: `artifact_unpinned`, or after the last mirror `artifact_altered` (some
            mirror delivered wrong bytes) or `artifact_missing`, with each mirror's reason.
        HostError: `disk_full` or `host_io` on this side.
    """
    if wanted.sha256 is None:
        raise IntegrityError(
            "artifact_unpinned",
            f"{wanted.path} has no sha256 in the manifest",
            "pin it with `glagol models build` on a connected machine and review the diff",
        )
    for mirror in mirrors:
        if urlsplit(mirror).scheme == "s3" and not has_key():
            raise InputError("setting_invalid", f"{mirror} needs credentials", KEY_REMEDY)
        if urlsplit(mirror).scheme not in {"file", "http", "https", "s3"}:
            raise InputError(
                "option_invalid",
                f"{mirror!r} is not the address of a mirror",
                "give a URL: file:///DIR, http://HOST/DIR, https://HOST/DIR or s3://BUCKET/DIR",
            )
    if store.verify(wanted.sha256):
        return store.path_of(wanted.sha256)
    tail = store.path_of(wanted.sha256).relative_to(store.root).as_posix()
    urls = [*(f"{mirror.rstrip('/')}/{tail}" for mirror in mirrors), *wanted.urls]
    partial = Path(f"{store.path_of(wanted.sha256)}.partial")
    expected = _Wanted(wanted.sha256, None, wanted.size_bytes)
    with _locked(partial) as file:
        if store.verify(wanted.sha256):  # another process brought it while this one waited
            partial.unlink(missing_ok=True)
            return store.path_of(wanted.sha256)
        _download(wanted.path, urls, file, expected, progress)
        return store.adopt(partial, wanted.sha256)


def pin(file: SourceFile, store: Store, *, progress: Progress | None = None) -> SourceFile:
    """Fetch an unpinned file for the first time and compute its digest.

    The bytes are those that the first answering url serves; where upstream's MD5 is known, they
    must have it. A person must review the diff before the result goes into the manifest.

    Args:
        file: the file; its urls are asked in order.
        store: where the bytes go.
        progress: as in `fetch`.

    Returns:
        The same entry with `sha256` and `size_bytes`, and without `unpinned`.

    Raises:
        IntegrityError: `artifact_missing`, no url delivered; `artifact_altered`, the bytes have
            another MD5 or size.
        HostError: `disk_full` or `host_io` on this side.
    """
    name = hashlib.sha256("\n".join([file.path, *file.urls]).encode()).hexdigest()
    partial = store.root / "incoming" / f"{name}.partial"
    with _locked(partial) as target:
        expected = _Wanted(file.sha256, file.md5, file.size_bytes)
        sha256 = _download(file.path, file.urls, target, expected, progress)
        size = os.fstat(target.fileno()).st_size
        store.adopt(partial, sha256)
    return msgspec.structs.replace(file, sha256=sha256, size_bytes=size, unpinned="")


def _download(
    name: str,
    urls: Sequence[str],
    file: FileIO,
    wanted: _Wanted,
    progress: Progress | None,
) -> str:
    """Fill `file` from the first url that delivers, and return the digest of its bytes."""
    reasons = []
    wrong = False
    for url in urls:
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                return _pull(url, file, wanted, progress)
            except _RefusedError as refused:
                if refused.again and attempt < _ATTEMPTS_MAX:
                    continue
                reasons.append(f"{url}: {refused}")
                wrong = wrong or refused.wrong
                break
            except OSError as error:
                raise host_error(error, Path(os.fsdecode(file.name))) from error
    raise IntegrityError(
        "artifact_altered" if wrong else "artifact_missing",
        f"no mirror delivered {name}, sha256 {wanted.sha256 or 'unknown'}: "
        + ("; ".join(reasons) or "none is known"),
        "give a mirror that has it, or copy the store from a USB archive; "
        "a partial download is kept and will be continued",
    )


def _pull(url: str, file: FileIO, wanted: _Wanted, progress: Progress | None) -> str:
    """Download from one mirror once; a partial file stays in `file` and can be continued."""
    start = os.fstat(file.fileno()).st_size
    response, start = (None, start) if start == wanted.size else _request(url, start)
    total = start if response is None else response.meta["size"]
    if wanted.size not in {None, total}:
        raise _RefusedError(f"has {total} bytes, expected {wanted.size}", wrong=True)
    file.truncate(start)
    hashers = _Hashers(wanted, file)
    done, why = start, ""
    try:
        for chunk in () if response is None else response.stream(min_chunk_size=_CHUNK_BYTES):
            _write(file, chunk)
            hashers.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    except BaseError as error:
        why = f": {_brief(error)}"
    if done < total:
        raise _RefusedError(f"stopped after {done} of {total} bytes{why}", again=done > start)
    if not hashers.match():
        file.truncate(0)
        raise _RefusedError(f"delivered sha256 {hashers.sha256}", again=start > 0, wrong=True)
    return hashers.sha256


class _Hashers:
    """Digests of a partial file's bytes; `update` adds each chunk that is written behind them."""

    def __init__(self, wanted: _Wanted, file: FileIO) -> None:
        self._wanted = wanted
        self._sha256 = hashlib.sha256()
        self._md5 = None if wanted.md5 is None else hashlib.md5(usedforsecurity=False)
        file.seek(0)
        while kept := file.read(_CHUNK_BYTES):
            self.update(kept)

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        if self._md5 is not None:
            self._md5.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def match(self) -> bool:
        md5 = None if self._md5 is None else self._md5.hexdigest()
        return self._wanted.sha256 in {None, self.sha256} and self._wanted.md5 == md5


def _request(url: str, start: int) -> tuple[GetResult, int]:
    """Request a file from `start`; returns the response and its offset, 0 without range support."""
    try:
        place, name = _place(url)
        if start:
            try:
                return obstore.get(place, name, options={"range": {"offset": start}}), start
            except (FileNotFoundError, PermissionDeniedError, UnauthenticatedError):
                raise
            except BaseError:  # the server has no ranges, or a file that ends before `start`
                pass
        return obstore.get(place, name), 0
    except (BaseError, FileNotFoundError, ValueError) as error:  # obstore raises all three
        raise _RefusedError(_brief(error)) from error


def _place(url: str) -> tuple[LocalStore | HTTPStore | S3Store, str]:
    """The object store that serves a url and the path inside it."""
    parts = urlsplit(url)
    folder, _, name = parts.path.rpartition("/")
    if not name or parts.query or parts.fragment:
        raise ValueError("not the plain address of a file")
    if parts.scheme == "file":
        if not Path(unquote(folder)).is_dir():
            raise ValueError("no such directory")
        return LocalStore(unquote(folder) or "/"), unquote(name)
    if parts.scheme == "s3":
        if not has_key():
            raise ValueError(f"no credentials: {KEY_REMEDY}")
        bucket = S3Store(parts.netloc, client_options=_CLIENT, retry_config=_RETRY)
        return bucket, unquote(parts.path.lstrip("/"))
    base = f"{parts.scheme}://{parts.netloc}{folder}"
    return HTTPStore(base, client_options=_CLIENT, retry_config=_RETRY), unquote(name)


def _write(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _brief(error: Exception) -> str:
    """First line of an error and its cause, which obstore puts into pages of debugging output."""
    text = str(error).strip()
    causes = re.findall(r"<Code>(\w+)</Code>", text)  # of S3's error document
    causes = causes or re.findall(r'(?:message|error): "([^"]+)"', text)
    line = text.partition("\n")[0][:_REASON_CHARACTERS_MAX]
    return f"{line} ({causes[-1]})" if causes else line


def _is_at(path: Path, file: FileIO) -> bool:
    """Whether the path still names the open file; the lock's last holder may have moved it."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


@contextmanager
def _locked(partial: Path) -> Iterator[FileIO]:
    """Open the partial file under an exclusive lock; remove it at the end when it is empty."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = partial.open("ab+", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(partial, file):
                break
            file.close()
    except OSError as error:
        raise host_error(error, partial) from error
    with file:
        try:
            yield file
        finally:
            if os.fstat(file.fileno()).st_size == 0:
                partial.unlink(missing_ok=True)
