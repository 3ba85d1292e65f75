"""Blobs get in atomically and come out verified, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glagol.core.errors import HostError, IntegrityError
from glagol.core.files import host_error
from glagol.registry.store import Store, Trust
from registry.made import artifact

DATA = b"weights " * 1000
ENTRY = artifact(DATA, "encoder.data")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    """Every file in a store."""
    return sorted(p for p in store.root.rglob("*") if p.is_file())


def rewrite(path: Path, data: bytes) -> None:
    """What a failing disk or a careless hand does: the same file with other bytes."""
    path.chmod(0o644)
    path.write_bytes(data)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to let files of this process grow past a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=5000))
def test_what_goes_in_comes_out(store: Store, data: bytes) -> None:
    """Any bytes; the digest is the name; adding twice is adding once."""
    digest = store.add_bytes(data)
    assert digest == hashlib.sha256(data).hexdigest() == store.add_bytes(data, expected=digest)
    assert store.path_of(digest) == store.root / "sha256" / digest[:2] / digest[2:]
    blob = store.open(artifact(data))
    assert (bytes(blob.data), blob.sha256) == (data, digest)


def test_blob_is_read_only(store: Store) -> None:
    """Neither the mapping nor the file invites writing."""
    store.add_bytes(DATA)
    assert store.open(ENTRY).data.readonly
    assert store.path_of(ENTRY.sha256).stat().st_mode & 0o777 == 0o444


def test_file_is_copied_in_and_checked(store: Store, tmp_path: Path) -> None:
    """A file with another digest than promised does not get in, and nothing is left of it."""
    source = tmp_path / "source.bin"
    source.write_bytes(DATA)
    assert store.add_file(source, expected=ENTRY.sha256) == ENTRY.sha256
    assert store.verify(ENTRY.sha256)
    before = files(store)
    adds: tuple[Callable[[str], object], ...] = (
        partial(store.add_file, source),
        partial(store.add_bytes, DATA),
    )
    for add in adds:
        with pytest.raises(IntegrityError, match="f" * 64) as caught:
            add("f" * 64)
        assert caught.value.code == "artifact_altered"
        assert ENTRY.sha256 in caught.value.message
    assert files(store) == before


@pytest.mark.parametrize("trust", Trust)
@pytest.mark.parametrize(
    "other", [DATA[:-1] + b"!", DATA[:100], DATA + b"more", b""], ids=["flip", "cut", "long", "0"]
)
def test_altered_file_is_refused_at_the_next_open(store: Store, other: bytes, trust: Trust) -> None:
    """A file that was good at start and changed since: names, both digests, remedy."""
    store.add_bytes(DATA)
    path = store.path_of(ENTRY.sha256)
    assert store.open(ENTRY, trust, model_id="nano")
    rewrite(path, other)
    with pytest.raises(IntegrityError) as caught:
        store.open(ENTRY, trust, model_id="nano")
    assert caught.value.code == "artifact_altered"
    for part in ("encoder.data", str(path), hashlib.sha256(other).hexdigest(), ENTRY.sha256):
        assert part in caught.value.message
    assert "glagol models fetch nano" in caught.value.remedy
    assert not store.verify(ENTRY.sha256)


@pytest.mark.parametrize("offset", [0, len(DATA)])
def test_a_file_that_is_written_while_it_is_hashed_is_refused(
    store: Store, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, by its owner, just after its right bytes went through the hash."""
    path = store.path_of(store.add_bytes(DATA))
    os.utime(path, (1, 1))  # the clock of a file system has ticks
    right = hashlib.sha256

    def hashed(data: memoryview) -> Any:
        digest = right(data)
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"!")
        return digest

    monkeypatch.setattr("glagol.registry.store.hashlib.sha256", hashed)
    with pytest.raises(IntegrityError, match="was written while it was read") as caught:
        store.open(ENTRY)
    assert caught.value.code == "artifact_altered"


def test_missing_file_says_how_to_bring_it(store: Store) -> None:
    """No store directory at all is the same as a store without the file."""
    with pytest.raises(IntegrityError) as caught:
        store.open(ENTRY, model_id="nano")
    assert caught.value.code == "artifact_missing"
    assert ENTRY.sha256 in caught.value.message
    assert str(store.path_of(ENTRY.sha256)) in caught.value.message
    assert "glagol models fetch nano" in caught.value.remedy
    assert not store.has(ENTRY.sha256)
    assert not store.verify(ENTRY.sha256)


def test_adding_heals_an_altered_blob(store: Store) -> None:
    """And a mapping opened before keeps the bytes that were verified."""
    store.add_bytes(DATA)
    before = store.open(ENTRY)
    store.path_of(ENTRY.sha256).unlink()
    store.path_of(ENTRY.sha256).write_bytes(b"rubbish")
    store.add_bytes(DATA)
    assert bytes(store.open(ENTRY).data) == bytes(before.data) == DATA


def test_host_trouble_is_not_called_integrity(store: Store) -> None:
    """A directory where the blob should be cannot be read: the host's problem."""
    store.path_of(ENTRY.sha256).mkdir(parents=True)
    with pytest.raises(HostError) as caught:
        store.open(ENTRY)
    assert caught.value.code == "host_io"


# Receipts: an operator's trade of safety against start time.


def receipt_of(store: Store) -> Path:
    """The receipt beside the blob of ENTRY."""
    return Path(f"{store.path_of(ENTRY.sha256)}.receipt")


def forge_receipt(store: Store, *, age_s: int) -> None:
    """Alter the blob, then vouch for the alteration as of `age_s` after it."""
    path = store.path_of(ENTRY.sha256)
    rewrite(path, DATA[::-1])
    now = path.stat()
    receipt = {
        "size": now.st_size,
        "mtime_ns": now.st_mtime_ns,
        "ctime_ns": now.st_ctime_ns,
        "inode": now.st_ino,
        "device": now.st_dev,
    }
    receipt_of(store).write_bytes(msgspec.json.encode(receipt))
    later = now.st_ctime_ns + age_s * 1_000_000_000
    os.utime(receipt_of(store), ns=(later, later))


def test_receipts_are_written_only_when_allowed(store: Store) -> None:
    """The default neither reads nor writes them."""
    store.add_bytes(DATA)
    store.open(ENTRY)
    assert not receipt_of(store).exists()
    store.open(ENTRY, Trust.receipt)
    assert receipt_of(store).exists()


def test_receipt_saves_the_hash_and_rehash_ignores_it(store: Store) -> None:
    """Shown with a forged receipt: it deceives only the mode that trusts receipts."""
    store.add_bytes(DATA)
    forge_receipt(store, age_s=10)
    assert bytes(store.open(ENTRY, Trust.receipt).data) == DATA[::-1]
    with pytest.raises(IntegrityError):
        store.open(ENTRY, Trust.rehash)


def test_young_receipt_counts_for_nothing(store: Store) -> None:
    """A change within the clock tick of the file system leaves no trace in the times."""
    store.add_bytes(DATA)
    forge_receipt(store, age_s=1)
    with pytest.raises(IntegrityError):
        store.open(ENTRY, Trust.receipt)


def test_restored_times_do_not_deceive_a_receipt(store: Store) -> None:
    """The change time cannot be set back with the modification time."""
    store.add_bytes(DATA)
    path = store.path_of(ENTRY.sha256)
    store.open(ENTRY, Trust.receipt)
    stat = path.stat()
    later = stat.st_ctime_ns + 10_000_000_000
    os.utime(receipt_of(store), ns=(later, later))
    assert store.open(ENTRY, Trust.receipt)
    rewrite(path, DATA[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    path.chmod(0o444)
    with pytest.raises(IntegrityError):
        store.open(ENTRY, Trust.receipt)


@pytest.mark.parametrize("text", ["", "{}", "null", "[1,2,3]", "\xff"])
def test_unreadable_receipt_is_no_receipt(store: Store, text: str) -> None:
    """Rubbish where a receipt should be: the bytes are hashed, and the receipt is made anew."""
    store.add_bytes(DATA)
    receipt_of(store).write_text(text, encoding="latin-1")
    assert store.open(ENTRY, Trust.receipt)
    assert b"inode" in receipt_of(store).read_bytes()


# Crashes, concurrent writers and full disks.


def test_concurrent_adds_agree(store: Store) -> None:
    """Eight writers of three blobs: three blobs, nothing else."""
    blobs = [bytes([i]) * 300_000 for i in range(3)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(store.add_bytes, blobs * 8))
    assert set(added) == {hashlib.sha256(blob).hexdigest() for blob in blobs}
    assert files(store) == sorted(store.path_of(digest) for digest in set(added))
    assert all(store.verify(digest) for digest in added)


def test_killed_copy_leaves_no_blob(store: Store, tmp_path: Path) -> None:
    """SIGKILL in the middle of a copy: a nameless leftover, ignored by everything."""
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)
    program = (
        "import sys, pathlib; from glagol.registry.store import Store;"
        "Store(pathlib.Path(sys.argv[1])).add_file(pathlib.Path(sys.argv[2]))"
    )
    paths = os.pathsep.join(sys.path)
    child = subprocess.Popen(
        [sys.executable, "-c", program, store.root, fifo], env={**os.environ, "PYTHONPATH": paths}
    )
    with fifo.open("wb") as pipe:
        pipe.write(bytes(3 << 20))
        pipe.flush()  # returns once all but the pipe's own buffer was read
        child.kill()
        assert child.wait() == -signal.SIGKILL
    (leftover,) = files(store)
    assert leftover.parent == store.root / "incoming"
    store.add_bytes(DATA)
    assert files(store) == sorted([leftover, store.path_of(ENTRY.sha256)])
    assert bytes(store.open(ENTRY).data) == DATA


def test_full_disk_is_said_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """A real refusal by the kernel in the middle of the write."""
    source = tmp_path / "large.bin"
    source.write_bytes(bytes(1 << 20))
    adds: tuple[Callable[[], object], ...] = (
        partial(store.add_file, source),
        partial(store.add_bytes, bytes(1 << 20)),
    )
    for add in adds:
        with file_size_limit(100_000), pytest.raises(HostError) as caught:
            add()
        assert caught.value.code == "disk_full"
        assert str(store.root) in caught.value.message
    assert files(store) == []
    assert store.verify(store.add_file(source))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EFBIG, "disk_full"),
        (errno.EIO, "host_io"),
        (errno.EACCES, "host_io"),
    ],
)
def test_operating_system_errors_have_codes(number: int, code: str) -> None:
    """Full disk, exhausted quota and file size limit are one thing to an operator."""
    error = host_error(OSError(number, os.strerror(number)), Path("blob"))
    assert error.code == code
    assert "blob" in error.message
