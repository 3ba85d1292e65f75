"""Make and restore deltas: bundles without the files that a named base already has.

A delta carries the full bundle's SHA256SUMS, signature and index, so it has the identity and the
signature of the full bundle. `restore` writes that bundle; no other can result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from glagol.bundle.errors import error, stop, translated
from glagol.bundle.reader import opened
from glagol.bundle.verify import (
    BLOCK,
    CHUNK,
    DELTA,
    INDEX,
    SIGNATURE,
    SUMS,
    Entry,
    Progress,
    Trusted,
    canonical,
    read,
    tar_members,
)
from glagol.bundle.write import Written, member_blocks, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glagol.bundle.verify import Files


class Read(Trusted):
    """Bundles whose signature another step checks; keeps the front files."""

    def __init__(self) -> None:
        super().__init__(lambda _sums, signature: "" if signature is None else "signed")
        self.front: list[tuple[str, bytes]] = []

    def take_sums(self, data: bytes, signature: bytes | None) -> None:
        """As the parent's."""
        super().take_sums(data, signature)
        self.front.append((SUMS, data))
        if signature is not None:
            self.front.append((SIGNATURE, signature))

    def take_index(self, data: bytes) -> None:
        """As the parent's."""
        super().take_index(data)
        self.front.append((INDEX, data))


@dataclass(frozen=True, slots=True)
class Difference:
    """What a new bundle changes.

    Attributes:
        old: name of the base.
        new: name of the new bundle.
        added: paths that only the new one has.
        removed: paths that only the base has.
        changed: paths whose bytes differ.
        carried_bytes: content that a delta has to carry.
        full_bytes: content of the new bundle.
    """

    old: str
    new: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    carried_bytes: int
    full_bytes: int


def front_of(place: str) -> Read:
    """Read id, index and lists of a bundle without its files.

    Raises:
        GlagolError: there is no bundle, or its lists are wrong.
    """
    found = Read()
    with translated(), opened(place) as file:
        next(read(tar_members(file), found, stop), None)
    return found


def difference(old: Trusted, new: Trusted) -> Difference:
    """Compare two bundles by path and digest; pure."""
    before = {entry.path: entry for entry in old.files}
    after = {entry.path: entry for entry in new.files}
    have = {entry.sha256 for entry in old.files}
    brought = {e.sha256: e.size for e in new.files if e.sha256 not in have}
    return Difference(
        old=old.index["name"],
        new=new.index["name"],
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(p for p in before.keys() & after.keys() if before[p] != after[p])),
        carried_bytes=sum(brought.values()),
        full_bytes=sum(entry.size for entry in new.files),
    )


def make(old: str, new: str, folder: Path, stream: Any = None) -> Written:
    """Write NEW-from-ID.delta.tar and prove that the base and it give NEW's very bytes.

    Args:
        old: the base, a plain tar.
        new: the full new bundle, a plain tar.
        folder: where to.
        stream: gets progress lines.

    Returns:
        The delta.

    Raises:
        GlagolError: a bundle is wrong, the disk is full, or the proof fails (`bundle_altered`).
    """
    base = front_of(old)
    target = Read()
    have = {entry.sha256 for entry in base.files}

    def blocks(files: Files, first: list[tuple[Entry, Iterator[bytes]]]) -> Iterator[bytes]:
        name = target.index["name"]
        kept = sorted({e.sha256 for e in target.files if e.sha256 in have})
        raw = {"base": {"id": base.id, "name": base.index["name"]}, "kept": kept}
        check = hashlib.sha256(canonical(raw)).hexdigest()
        yield from _front(name, [*target.front, (DELTA, canonical({**raw, "check": check}))])
        progress = Progress("delta", sum(e.size for e in target.files), stream)
        for entry, chunks in _chain(first, files):
            counted = _counted(chunks, progress)
            if entry.sha256 in have:
                for _ in counted:
                    pass
            else:
                yield from member_blocks(name, entry, counted)
        yield bytes(2 * BLOCK)

    with translated():
        with opened(new) as file:
            files = read(tar_members(file), target, stop)
            first = [entry for entry in [next(files, None)] if entry]
            stem = f"{target.index['name']}-from-{base.id[:12]}.delta.tar"
            written = write_file(folder / stem, blocks(files, first))
        digest = hashlib.sha256()
        for block in _restored(str(written.path), old):
            digest.update(block)
    full = hashlib.sha256()
    with opened(new) as file:
        while data := file.read(CHUNK):
            full.update(data)
    if digest.digest() != full.digest():
        raise error("bundle_altered", "base and delta do not give the new bundle", "report it")
    return written


def restore(delta: str, old: str, folder: Path) -> Written:
    """Write the full bundle from a delta and its base.

    Raises:
        IntegrityError: `bundle_base`, the base is another one; or a bundle is wrong.
        HostError: `disk_full` or `host_io`.
    """
    name = front_of(delta).index["name"]
    with translated():
        return write_file(folder / f"{name}.tar", _restored(delta, old))


def _restored(delta: str, old: str) -> Iterator[bytes]:
    base, wanted = Read(), Read()
    with opened(old) as old_file, opened(delta) as file:
        for _, chunks in read(tar_members(old_file), base, stop):
            for _ in chunks:
                pass
        files = read(tar_members(file), wanted, stop)
        first = next(files, None)
        declared = wanted.base or {"id": wanted.id, "name": "nothing"}
        if wanted.base and declared["id"] != base.id:
            raise error(
                "bundle_base",
                f"the delta is to {declared['name']} ({declared['id']}), not to {base.id}",
                "name the base that the delta was made to",
            )
        places = _places(base)
        name = wanted.index["name"]
        yield from _front(name, wanted.front)
        carried = _chain([first] if first else [], files)
        brought = {entry.path for entry in wanted.carried}
        for entry in wanted.files:
            if entry.path in brought:
                yield from member_blocks(name, entry, next(carried)[1])
            else:
                yield from member_blocks(name, entry, _slice(old_file, places[entry.sha256]))
        yield bytes(2 * BLOCK)


def _places(base: Read) -> dict[str, tuple[int, int]]:
    """Offset of each digest in a tar that was read strictly, computed from the lists."""
    at = sum(_padded(len(data)) for _, data in base.front)
    found = {}
    for entry in base.files:
        found[entry.sha256] = (at + BLOCK, entry.size)
        at += _padded(entry.size)
    return found


def _padded(size: int) -> int:
    return BLOCK + size + -size % BLOCK


def _slice(file: BinaryIO, place: tuple[int, int]) -> Iterator[bytes]:
    start, left = place
    file.seek(start)
    while left and (data := file.read(min(CHUNK, left))):
        left -= len(data)
        yield data


def _front(name: str, front: list[tuple[str, bytes]]) -> Iterator[bytes]:
    for path, data in front:
        yield from member_blocks(name, Entry(path, "", len(data)), [data])


def _chain(first: list[Any], rest: Files) -> Files:
    yield from first
    yield from rest


def _counted(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for data in chunks:
        yield data
        progress.add(len(data))
