#!/usr/bin/env python3
"""Verify a Glagol bundle; needs only Python 3.8 or later. Each bundle contains this file.

    python3 verify.py BUNDLE --signers ALLOWED_SIGNERS

BUNDLE is NAME.tar, the folder of an unpacked bundle, NAME.tar.parts.json beside the parts, or `-`
for a tar on standard input (`cat NAME.tar.0* | ...`, `age -d -i KEY NAME.tar.age | ...`).

The chain of trust: a signature (`ssh-keygen -Y`, namespace glagol-bundle) covers SHA256SUMS, which
lists all other files. One of these is the index bundle.json, with sizes and requirements.
The SHA-256 of SHA256SUMS is the bundle's id, the same for its plain, sealed, split and delta forms.
A tar is read strictly: every header must be, byte for byte, the one that `header` writes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Faults = Callable[["BundleError"], None]
    SignatureCheck = Callable[[bytes, "bytes | None"], str]
    Files = Iterator["tuple[Entry, Iterator[bytes]]"]

SUMS, SIGNATURE, INDEX, DELTA = "SHA256SUMS", "SHA256SUMS.sig", "bundle.json", "delta.json"
FRONT = (SUMS, SIGNATURE, INDEX, DELTA)  # the order in a tar; all other files follow by path
FRONT_BYTES_MAX, FAULTS_MAX = 64 << 20, 20
NAMESPACE, EPOCH = "glagol-bundle", 315532800  # 1980-01-01, the earliest time in a zip file
BLOCK, CHUNK, READER = 512, 1 << 20, 3
EXIT = {"bundle_not_found": 2, "host_io": 5}  # of glagol.core.errors, by a test; all others: 4
_AGAIN = "copy the bundle again from where it came, and compare with its .sha256"
_TRUST = "get the release's allowed_signers from a trusted source and name it with --signers"


class BundleError(Exception):
    """One fault of a bundle: a stable `code`, a `message`, a `remedy`."""

    def __init__(self, code: str, message: str, remedy: str = _AGAIN) -> None:
        message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        super().__init__(code, message, remedy)
        self.code, self.message, self.remedy = code, message, remedy


class Entry(NamedTuple):
    """One file of a bundle: plain relative path, digest, size in bytes, whether executable."""

    path: str
    sha256: str
    size: int
    executable: bool = False


class Member(NamedTuple):
    """The next entry of a carrier (tar or folder); None for unknown values."""

    path: str | None
    size: int | None
    executable: bool | None
    read: Callable[[int], Iterator[bytes]]


def is_plain(path: str) -> bool:
    """Whether a path stays inside its folder and reads the same on every system."""
    odd = [c for c in path if not c.isprintable() or c in "\\:"]
    return not odd and {"", ".", ".."}.isdisjoint(path.split("/"))


def canonical(value: object) -> bytes:
    """Encode JSON in the one form of a bundle: sorted keys, one-space indent, UTF-8, newline."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def header(path: str, size: int, executable: bool) -> bytes:
    """The ustar header of a member: fixed owner, time and mode; GNU base-256 for 8 GiB and more.

    Raises ValueError for a path that does not fit 255 bytes cut at a slash.
    """
    name, prefix = path.encode(), b""
    if len(name) > 100:
        cuts = [i for i, c in enumerate(name[:156]) if c == 47 and len(name) - i <= 101]
        if not cuts:
            raise ValueError(f"the path is too long for a tar: {path}")
        name, prefix = name[cuts[0] + 1 :], name[: cuts[0]]
    length = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    block = bytearray(name.ljust(100, b"\0") + (b"0000755\0" if executable else b"0000644\0"))
    block += b"0000000\0" * 2 + length + b"%011o\0" % EPOCH + b" " * 8 + b"0" + bytes(100)
    block += b"ustar\00000" + bytes(80) + prefix.ljust(155, b"\0") + bytes(12)
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def parse_header(block: bytes) -> Entry | None:
    """Parse a header; None unless `header` makes the same bytes of the entry."""
    try:
        name, prefix = block[:100].rstrip(b"\0").decode(), block[345:500].rstrip(b"\0").decode()
        raw = block[124:136]
        size = int.from_bytes(raw[1:], "big") if raw[0] == 0x80 else int(raw[:11], 8)
        entry = Entry(f"{prefix}/{name}" if prefix else name, "", size, block[104:105] == b"7")
        return entry if header(entry.path, size, entry.executable) == block else None
    except (ValueError, IndexError):
        return None


class Trusted:
    """Verifies the front files, in the order of the chain of trust, and holds what they state.

    Attributes: `id`, `signer`; `index`: bundle.json; `files`: all but the front files; `base`: of a
    delta, {"id", "name"} of the bundle that it needs; `carried`: the files in this carrier.
    """

    def __init__(self, check_signature: SignatureCheck) -> None:
        self._check = check_signature
        self._sums: dict[str, str] = {}
        self.id = self.signer = ""
        self.index: dict[str, Any] = {}
        self.base: dict[str, str] | None = None
        self.files: tuple[Entry, ...] = ()
        self.carried: tuple[Entry, ...] = ()

    def take_sums(self, data: bytes, signature: bytes | None) -> None:
        """Verify SHA256SUMS. Raises `bundle_unsigned`, `bundle_signature` or `bundle_invalid`."""
        self.signer, self.id = self._check(data, signature), hashlib.sha256(data).hexdigest()
        for line in data.decode(errors="replace").splitlines(keepends=True):
            match = re.fullmatch(r"([0-9a-f]{64})  ([^\n]+)\n", line)
            if not match or not is_plain(match.group(2)) or match.group(2) in self._sums:
                raise BundleError("bundle_invalid", f"{SUMS} has a bad line: {line!r}")
            self._sums[match.group(2)] = match.group(1)

    def take_index(self, data: bytes) -> None:
        """Verify bundle.json. Raises `bundle_altered`, `bundle_too_new` or `bundle_invalid`."""
        found = hashlib.sha256(data).hexdigest()
        if found != self._sums.get(INDEX):
            raise BundleError("bundle_altered", f"{INDEX} is not the one that {SUMS} lists")
        try:
            index = json.loads(data)
            if index["min_reader"] > READER:
                text = f"the bundle needs a reader of version {index['min_reader']}, not {READER}"
                raise BundleError("bundle_too_new", text, index["min_reader_remedy"])
            files = tuple(
                Entry(f["path"], f["sha256"], f["size_bytes"], f.get("executable", False))
                for f in index["files"]
            )
            sound = is_plain(index["name"]) and all(f.size >= 0 for f in files)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError("bundle_invalid", f"{INDEX} is not an index: {error!r}") from error
        odd = {(f.path, f.sha256) for f in files} ^ self._sums.items() ^ {(INDEX, found)}
        if odd or not sound or len(files) + 1 != len(self._sums):
            raise BundleError("bundle_invalid", f"{INDEX} and {SUMS} do not agree: {odd}"[:300])
        self.index, self.files, self.carried = index, files, files

    def take_delta(self, data: bytes) -> None:
        """Read delta.json, which lists the files of the base. Raises `bundle_altered`."""
        try:
            raw = json.loads(data)
            check, base, kept = raw.pop("check"), raw["base"], {*raw["kept"]}
            good = check == hashlib.sha256(canonical(raw)).hexdigest() and {*base} == {"id", "name"}
            good &= is_plain(base["name"]) and bool(re.fullmatch("[0-9a-f]{64}", base["id"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            good = False
        if not good:
            raise BundleError("bundle_altered", f"{DELTA} is damaged")
        self.base, self.carried = base, tuple(f for f in self.files if f.sha256 not in kept)


def tar_members(stream: BinaryIO) -> Iterator[Member]:
    """The members of a plain tar, without the common top folder; `path` is None if it is damaged.

    Read each to its end before the next one. Raises `bundle_altered` for a damaged end.
    """
    top = None
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK or not block.strip(b"\0"):
            if block + stream.read(BLOCK + 1) != bytes(2 * BLOCK):
                raise BundleError("bundle_altered", "the end is cut off, or bytes follow it")
            return
        entry = parse_header(block)
        folder, _, path = entry.path.partition("/") if entry else ("", "", "")
        top = top or folder
        if entry is None or folder != top:
            yield Member(None, None, None, partial(_body, stream))
        else:
            yield Member(path, entry.size, entry.executable, partial(_body, stream))


def _body(stream: BinaryIO, size: int) -> Iterator[bytes]:
    for start in range(0, size, CHUNK):
        yield stream.read(min(CHUNK, size - start))
    padding = stream.read(-size % BLOCK)
    if padding.strip(b"\0"):
        yield padding  # makes the size wrong, so that `_checked` reports the file


def folder_members(folder: Path) -> Iterator[Member]:
    """The files of an unpacked bundle, in the order of a tar; modes are not checked."""
    found = [p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()]
    names = {p.relative_to(folder).as_posix() for p in found}
    for name in sorted(names, key=lambda n: (FRONT.index(n) if n in FRONT else len(FRONT), n)):
        yield Member(name, (folder / name).lstat().st_size, None, partial(_content, folder / name))


def _content(path: Path, _: int = 0) -> Iterator[bytes]:
    if path.is_symlink() or not path.is_file():
        raise BundleError("bundle_altered", f"{path} is not a regular file")
    with path.open("rb") as file:
        yield from iter(partial(file.read, CHUNK), b"")


def read(members: Iterator[Member], trusted: Trusted, fault: Faults) -> Files:
    """Iterate over a carrier: each file with its bytes, which must be read before the next file.

    `trusted` verifies the front files first. `fault` is called with each fault; the bytes of a file
    are right only if it was not called while they were read.
    """
    sums, member, signature = _whole(next(members, None), SUMS), next(members, None), None
    if member and member.path == SIGNATURE:
        signature, member = _whole(member, SIGNATURE), next(members, None)
    trusted.take_sums(sums, signature)
    trusted.take_index(_whole(member, INDEX))
    member = next(members, None)
    if member and member.path == DELTA:
        trusted.take_delta(_whole(member, DELTA))
        member = next(members, None)
    expected, at = trusted.carried, 0
    place = {entry.path: n for n, entry in enumerate(expected)}
    while member:
        n = at if member.path is None else place.get(member.path, -1)
        if n < at or n == len(expected):
            fault(BundleError("bundle_added", f"{member.path} is not listed, or occurs twice"))
            for _ in member.read(member.size or 0):
                pass
        else:
            for entry in expected[at:n]:
                fault(BundleError("bundle_missing", f"{entry.path} is missing"))
            entry, at = expected[n], n + 1
            if member.path is None or member.executable not in {None, entry.executable}:
                fault(BundleError("bundle_altered", f"the header of {entry.path} is damaged"))
            size = entry.size if member.size is None else member.size
            yield entry, _checked(entry, member.read(size), fault)
        member = next(members, None)
    for entry in expected[at:]:
        fault(BundleError("bundle_missing", f"{entry.path} is missing"))


def _whole(member: Member | None, name: str) -> bytes:
    size = member.size if member and member.path == name else None
    data = b"".join(member.read(min(size, FRONT_BYTES_MAX))) if member and size else b""
    if len(data) != size:
        raise BundleError("bundle_invalid", f"{name} is damaged, or this is not a Glagol bundle")
    return data


def _checked(entry: Entry, chunks: Iterator[bytes], fault: Faults) -> Iterator[bytes]:
    digest, count = hashlib.sha256(), 0
    for data in chunks:
        digest.update(data)
        count += len(data)
        yield data
    if (count, digest.hexdigest()) != (entry.size, entry.sha256):
        text = f"{entry.path} has {count} bytes with sha256 {digest.hexdigest()}, "
        text += f"expected {entry.size} bytes with {entry.sha256}"
        fault(BundleError("bundle_altered", text))


def check_parts(listing: Path, fault: Faults, stream: Any = None) -> list[Path]:
    """Verify each part of a split file; return their paths in order. Raises `bundle_invalid`."""
    data = listing.read_bytes()
    try:
        raw = json.loads(data)
        parts = [Entry(p["file"], p["sha256"], p["size_bytes"]) for p in raw["parts"]]
        sound = canonical(raw) == data and sum(p.size for p in parts) == raw["size_bytes"]
        sound = sound and all(is_plain(p.path) and "/" not in p.path for p in parts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise BundleError("bundle_invalid", f"{listing.name} is damaged")
    progress, paths = Progress("parts", raw["size_bytes"], stream), []
    for part in parts:
        paths.append(listing.parent / part.path)
        if not paths[-1].is_file():
            fault(BundleError("bundle_missing", f"the part {part.path} is missing"))
            continue
        for chunk in _checked(part, _content(paths[-1]), fault):
            progress.add(len(chunk))
    return paths


class Progress:
    """Writes a line with bytes, rate and time left at each 10 % (at each 1 % on a terminal)."""

    def __init__(self, label: str, total: int, stream: Any = None) -> None:
        self._label, self._total, self._stream = label, max(total, 1), stream
        self._done, self._shown, self._start = 0, 0, time.monotonic()
        self._steps, self._end = (100, "\r") if stream and stream.isatty() else (10, "\n")

    def add(self, count: int) -> None:
        """Count so many more bytes, and write the line when it is due."""
        self._done += count
        mark, mib = self._steps * self._done // self._total, 2.0**20
        if self._stream and mark != self._shown:
            self._shown = mark
            rate = self._done / max(time.monotonic() - self._start, 1e-3)
            text = f"{self._label}: {self._done / mib:.1f} of {self._total / mib:.1f} MiB, "
            text += f"{rate / mib:.0f} MiB/s, {(self._total - self._done) / rate:.0f} s left"
            self._stream.write(text + ("\n" if self._done >= self._total else self._end))
            self._stream.flush()


def signature_check(signers: Path | None, allow_unsigned: bool = False) -> SignatureCheck:
    """Make a check by `ssh-keygen -Y verify` that returns the signer. Raises BundleError."""

    def check(sums: bytes, signature: bytes | None) -> str:
        if allow_unsigned and (signature is None or signers is None):
            return "unsigned" if signature is None else "signature not checked"
        if signature is None:
            raise BundleError("bundle_unsigned", f"the bundle has no {SIGNATURE}", _TRUST)
        if signers is None or not signers.is_file():
            raise BundleError("bundle_signature", f"no signers to trust: {signers}", _TRUST)
        with tempfile.NamedTemporaryFile() as place:
            place.write(signature)
            place.flush()
            files = ["-f", str(signers), "-s", place.name]
            done, text = _ssh_keygen(["find-principals", *files], b"")
            name = text.split("\n")[0] if done else "an unknown signer"
            done, text = _ssh_keygen(["verify", *files, "-I", name, "-n", NAMESPACE], sums)
        if not done:
            text = f"{SUMS} is not what {name} of {signers} signed: {' '.join(text.split())}"
            raise BundleError("bundle_signature", text, _TRUST)
        return name

    return check


def _ssh_keygen(rest: list[str], data: bytes) -> tuple[bool, str]:
    done = subprocess.run(["ssh-keygen", "-Y", *rest], input=data, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout or done.stderr).decode(errors="replace")


def verify(files: Files, trusted: Trusted, stream: Any = None) -> int:
    """Read all files and return their number; they are right unless `fault` was called."""
    count, progress = 0, None
    for count, (_, chunks) in enumerate(files, 1):  # noqa: B007
        progress = progress or Progress("verify", sum(f.size for f in trusted.carried), stream)
        for data in chunks:
            progress.add(len(data))
    return count


def _verify(place: str, trusted: Trusted, fault: Faults, stream: Any) -> str:
    path = Path(place)
    if place != "-" and not path.exists():
        raise BundleError("bundle_not_found", f"there is no {place}", "check the path")
    if place.endswith(".parts.json"):
        return f"{len(check_parts(path, fault, stream))} parts; the next step: cat them into `-`"
    if place != "-" and path.is_dir():
        count = verify(read(folder_members(path), trusted, fault), trusted, stream)
    else:
        with sys.stdin.buffer if place == "-" else path.open("rb") as file:
            count = verify(read(tar_members(file), trusted, fault), trusted, stream)
    base = ", delta" if trusted.base else ""  # without its base, which no signature covers
    return f"{trusted.index['name']}: {count} files right{base}, {trusted.signer}, id {trusted.id}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is that of the first fault's code, 0 without faults."""
    parser = argparse.ArgumentParser(description="Verify a Glagol bundle.")
    parser.add_argument("bundle", help="tar, .parts.json, unpacked folder, or - for standard input")
    parser.add_argument("--signers", type=Path, help="allowed_signers file of the release")
    parser.add_argument("--allow-unsigned", action="store_true", help="check the sums alone")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args(arguments)
    faults: list[BundleError] = []
    trusted = Trusted(signature_check(options.signers, options.allow_unsigned))
    try:
        progress = None if options.quiet else sys.stderr
        text = _verify(options.bundle, trusted, faults.append, progress)
    except BundleError as error:
        faults.append(error)
    except OSError as error:  # ssh-keygen (OpenSSH 8.2 or later) may be absent, too
        faults.append(BundleError("host_io", str(error), "check that it is there and may be used"))
    for fault in faults[:FAULTS_MAX]:
        sys.stderr.write(f"{fault.code}: {fault.message}\n")
    sys.stdout.write(text + "\n" if not faults else "")
    sys.stderr.write(f"  what to do: {faults[0].remedy}\n" if faults else "")
    return EXIT.get(faults[0].code, 4) if faults else 0


if __name__ == "__main__":
    sys.exit(main())
