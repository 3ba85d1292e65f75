"""Write finished files atomically, with their digest beside them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from glagol.bundle.verify import BLOCK, Entry, header
from glagol.core.files import host_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file: where it is, its digest, its size."""

    path: Path
    sha256: str
    size_bytes: int


def member_blocks(top: str, entry: Entry, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One member of a tar: header, content, padding."""
    yield header(f"{top}/{entry.path}", entry.size, entry.executable)
    yield from chunks
    yield bytes(-entry.size % BLOCK)


def write_file(path: Path, blocks: Iterable[bytes]) -> Written:
    """Write a file under a temporary name, then rename it, and put its digest beside it.

    Raises:
        HostError: `disk_full` or `host_io`.
    """
    part = path.with_name(path.name + ".partial")
    digest, size = hashlib.sha256(), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for block in blocks:
                digest.update(block)
                size += len(block)
                file.write(block)
            flush(file)
        sums = path.with_name(path.name + ".sha256")
        sums.write_text(f"{digest.hexdigest()}  {path.name}\n", encoding="utf-8")
        part.replace(path)
    except OSError as failed:
        raise host_error(failed, path) from failed
    finally:
        part.unlink(missing_ok=True)
    return Written(path, digest.hexdigest(), size)


def flush(file: BinaryIO) -> None:
    """Bring a file to the disk."""
    file.flush()
    os.fsync(file.fileno())
