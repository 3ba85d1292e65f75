"""The audit log: which bytes made which transcript, as a chain of hashed lines.

`audit.log` holds a JSON object per line in canonical form (sorted keys, no spaces, UTF-8).
`previous` is the hash of the line before (64 zeros in the first), `hash` the SHA-256 of the line
without it. Changing, dropping, adding or moving a line breaks the chain from there on. What no
chain can show by itself is that its end was cut off, or that all of it was written anew: for that,
note the newest hash elsewhere now and then, and ask for it with `verify`. There is neither audio
nor text in it.

Every line is synced to the disk before `append` returns. Any number of threads and processes may
append, under a lock of the file. A crash in mid-write leaves a part of a line: the next append
keeps it in `audit.log.torn-<seq>`, removes it, and continues with a line that says so. The file
grows for ever; to begin a new one, move it away and note its newest hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from glagol.core import journal
from glagol.core.errors import GlagolError, HostError, IntegrityError
from glagol.core.files import host_error

__all__ = [
    "FIRST",
    "AuditLog",
    "Entry",
    "Report",
    "digest_of",
    "entry_of",
    "lines",
    "log_in",
    "note",
    "verify",
]

FIRST: Final = "0" * 64
FORM: Final = 1
LINE_BYTES_MAX: Final = 16 << 10
_SYNC: Final = getattr(os, "fdatasync", os.fsync)
"""The length of the file goes to the disk with its bytes; its time need not, which is quicker."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened; whatever does not apply is left empty. Digests are SHA-256, hexadecimal.

    Attributes:
        event: A short fixed word, such as `transcribed`, `indexed`, `opened`, `torn`.
        job: Id of the job.
        request: Id of the request; its caller may have chosen it, and may use one twice.
        call: The server's own id of the request, which no other has; a job has its own in `job`.
        owner: Name of the key.
        input_sha256: Of the audio as it was sent.
        model: Id of the model.
        variant: Of the model.
        artifacts_sha256: `digest_of` the model's artifacts.
        manifest_version: Of the manifest that named them.
        manifest_sha256: Of its bytes.
        transcript_sha256: Of the answer's text, UTF-8.
        detail: Anything else, in a few words.
    """

    event: str
    job: str = ""
    request: str = ""
    call: str = ""
    owner: str = ""
    input_sha256: str = ""
    model: str = ""
    variant: str = ""
    artifacts_sha256: str = ""
    manifest_version: int = 0
    manifest_sha256: str = ""
    transcript_sha256: str = ""
    detail: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found.

    Attributes:
        lines: How many lines are right, counted from the first.
        head: Hash of the last of them.
        first_time: When the first was written; empty without lines.
        last_time: When the last of them was written.
        torn: How often a crash had left a part of a line.
        fault: What is wrong; empty when nothing is.
        fault_line: Number of the line that is wrong, from 1; 0 when none is.
    """

    lines: int
    head: str
    first_time: str
    last_time: str
    torn: int
    fault: str = ""
    fault_line: int = 0


def digest_of(artifacts: Mapping[str, str]) -> str:
    """One digest for all artifacts: SHA-256 of the canonical JSON of `{path: sha256}`."""
    return hashlib.sha256(_canonical(dict(artifacts))).hexdigest()


class Origin(Protocol):
    """Which bytes a program opened."""

    @property
    def model(self) -> str:
        """Id of the model."""

    @property
    def variant(self) -> str:
        """Of the model."""

    @property
    def artifacts(self) -> Mapping[str, str]:
        """Digests by path."""

    @property
    def manifest_version(self) -> int:
        """Of the manifest that named them."""

    @property
    def manifest_sha256(self) -> str:
        """Of its bytes."""


def entry_of(event: str, origin: Origin, **more: str) -> Entry:
    """An entry about what the bytes of a model did; `more` are other attributes of it."""
    return Entry(
        event=event,
        model=origin.model,
        variant=origin.variant,
        artifacts_sha256=digest_of(origin.artifacts),
        manifest_version=origin.manifest_version,
        manifest_sha256=origin.manifest_sha256,
        **more,
    )


def log_in(state: str) -> AuditLog | None:
    """The log of a directory of state; None where there is no directory."""
    return AuditLog(Path(state, "audit.log")) if state else None


def note(log: AuditLog | None, entry: Entry) -> None:
    """Append an entry where there is a log; a failure is logged, and stops no work."""
    if log is None:
        return
    try:
        log.append(entry)
    except GlagolError as error:
        journal.error("audit line not written", error, request_id=entry.request)


class AuditLog:
    """Appends lines to a file.

    Args:
        path: The file; made when it is not there, for its owner alone.
        clock: The time in UTC.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._path = path
        self._clock = clock

    def append(self, entry: Entry) -> str:
        """Write a line; once this returns, it is on the disk.

        Returns:
            Its hash, the log's newest.

        Raises:
            IntegrityError: `audit_altered`, the last line is whole and wrong: nothing is added.
            HostError: `disk_full`, `host_io`; a part of the line may be there, the next append
                takes it off.
        """
        try:
            with self._locked() as file:
                seq, head = self._mended(file)
                return self._write(file, seq, head, entry)
        except OSError as error:
            raise host_error(error, self._path) from error

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Open and lock the file; opened each time, since it may have been moved away."""
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is(self._path, file):
                    yield file
                    return

    def _mended(self, file: BinaryIO) -> tuple[int, str]:
        """Set aside a torn line; returns number and hash of the last line."""
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - 3 * LINE_BYTES_MAX))
        end = file.read(size - start)
        whole, newline, part = end.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2]
        seq, head = (0, FIRST)
        if newline:
            line = _line(last)
            if isinstance(line, str):
                raise _altered(self._path, f"its last line {line}")
            seq, head = int(line["seq"]), str(line["hash"])
        elif start:
            raise _altered(self._path, "it has no end of a line where one must be")
        if not part:
            return seq, head
        aside = self._path.with_name(f"{self._path.name}.torn-{seq + 1}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as kept:
            kept.write(part)
            os.fsync(handle)
        file.truncate(size - len(part))
        digest = hashlib.sha256(part).hexdigest()
        detail = f"{len(part)} bytes of sha256 {digest} are in {aside.name}"
        return seq + 1, self._write(file, seq, head, Entry(event="torn", detail=detail))

    def _write(self, file: BinaryIO, seq: int, head: str, entry: Entry) -> str:
        line: dict[str, Any] = {
            **msgspec.to_builtins(entry),
            "form": FORM,
            "seq": seq + 1,
            "time": self._clock().isoformat(timespec="milliseconds"),
            "previous": head,
        }
        line["hash"] = hashlib.sha256(_canonical(line)).hexdigest()
        text = _canonical(line) + b"\n"
        if len(text) > LINE_BYTES_MAX:
            raise AssertionError(f"{len(text)} bytes in a line of the audit log")
        file.seek(0, os.SEEK_END)
        if file.write(text) != len(text):
            raise HostError(
                "disk_full", f"{self._path} could not be written to its end", "free some space"
            )
        _SYNC(file.fileno())
        if seq == 0:
            _sync_directory(self._path.parent)
        return str(line["hash"])


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every line of a log, each checked before it is given; lines added meanwhile are left out.

    Raises:
        IntegrityError: `audit_altered`, at the first line that is wrong, with its number.
        HostError: `host_io`, the file is not there or cannot be read.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # so that no line is seen half written
            size = os.fstat(file.fileno()).st_size
            fcntl.flock(file, fcntl.LOCK_UN)
            yield from _checked(path, file, size)
    except OSError as error:
        raise host_error(error, path) from error


def _checked(path: Path, file: BinaryIO, size: int) -> Iterator[dict[str, Any]]:
    number, head, read = 0, FIRST, 0
    while read < size:
        number += 1
        text = file.readline(min(LINE_BYTES_MAX + 1, size - read))
        read += len(text)
        if not text.endswith(b"\n"):
            what = "is too long" if len(text) > LINE_BYTES_MAX else "ends in the middle"
            raise _altered(path, f"line {number} {what}")
        line = _line(text[:-1])
        if isinstance(line, str):
            raise _altered(path, f"line {number} {line}")
        if line["seq"] != number:
            raise _altered(path, f"line {number} says that it is line {line['seq']}")
        if line["previous"] != head:
            raise _altered(path, f"line {number} does not follow the line before it")
        head = line["hash"]
        yield line


def verify(path: Path, *, head: str | None = None) -> Report:
    """Check a log of any size from its first line to its last.

    Args:
        path: The file.
        head: A hash that was noted earlier: the line of this hash must still be there.

    Returns:
        What was found; a fault is in it, not raised.

    Raises:
        HostError: `host_io`, the file cannot be read.
    """
    count, torn, first, last, newest = 0, 0, "", "", FIRST
    seen = head in {None, FIRST}
    fault, fault_line = "", 0
    try:
        for line in lines(path):
            count, last, newest = count + 1, line["time"], line["hash"]
            first = first or last
            torn += line["event"] == "torn"
            seen = seen or newest == head
    except IntegrityError as error:
        fault, fault_line = error.message, count + 1
    if not fault and not seen:
        fault = f"{path} has no line of the hash {head}: lines were cut off, or written anew"
        fault_line = count + 1
    return Report(
        lines=count,
        head=newest,
        first_time=first,
        last_time=last,
        torn=torn,
        fault=fault,
        fault_line=fault_line,
    )


def _canonical(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _line(text: bytes) -> dict[str, Any] | str:
    """A line that is right by itself, or what is wrong with it."""
    try:
        line = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "is not JSON"
    if line.get("form") != FORM:
        return f"has the form {line.get('form')!r}; this program knows {FORM}"
    rest = {name: value for name, value in line.items() if name != "hash"}
    if line.get("hash") != hashlib.sha256(_canonical(rest)).hexdigest():
        return "does not have the hash that it states"
    if _canonical(line) != text or not {"seq", "time", "event", "previous"} <= line.keys():
        return "is not written as the log writes"
    return line


def _altered(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        "audit_altered",
        f"{path}: {what}",
        "compare with a copy; a line that a crash cut short is set aside by the next append",
    )


def _is(path: Path, file: BinaryIO) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
