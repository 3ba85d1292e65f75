"""Split a finished file into parts for small media; each part can be checked alone.

NAME.parts.json lists the parts; NAME.parts.sha256 says the same for `sha256sum -c`. Splitting again
skips the parts that are right already, so an interrupted copy to a medium is resumed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glagol.bundle.errors import error
from glagol.bundle.verify import CHUNK, Progress, canonical
from glagol.bundle.write import flush
from glagol.core.files import host_error

if TYPE_CHECKING:
    from pathlib import Path

PART_BYTES = 1 << 30
PART_BYTES_MAX = (1 << 32) - 1  # what FAT32 can hold
PARTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its file name and the range of the whole that it holds."""

    file: str
    start: int
    size: int


def ranges(name: str, size: int, part_bytes: int) -> list[Part]:
    """Cut `size` bytes into parts; pure.

    Raises:
        InputError: `option_invalid`, the part size is out of range or gives too many parts.
    """
    count = -(-size // part_bytes) if 0 < part_bytes <= PART_BYTES_MAX else 0
    if not 0 < count <= PARTS_MAX:
        raise error(
            "option_invalid",
            f"{size} bytes cannot be cut into parts of {part_bytes}",
            f"a part has 1 to {PART_BYTES_MAX} bytes, and there are at most {PARTS_MAX}",
        )
    return [
        Part(f"{name}.{n:03d}", n * part_bytes, min(part_bytes, size - n * part_bytes))
        for n in range(count)
    ]


def split(path: Path, folder: Path, part_bytes: int = PART_BYTES, stream: Any = None) -> Path:
    """Write the parts of a file and their lists.

    Args:
        path: a plain or sealed bundle.
        folder: where to.
        part_bytes: size of every part but the last.
        stream: gets progress lines.

    Returns:
        NAME.parts.json.

    Raises:
        InputError: `bundle_not_found`, `option_invalid`.
        HostError: `disk_full` or `host_io`.
    """
    if not path.is_file():
        raise error("bundle_not_found", f"there is no {path}", "check the path")
    size = path.stat().st_size
    progress = Progress("split", size, stream)
    rows = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in ranges(path.name, size, part_bytes):
            sha256 = _part(path, part, folder / part.file, progress)
            rows.append({"file": part.file, "size_bytes": part.size, "sha256": sha256})
        sums = "".join(f"{row['sha256']}  {row['file']}\n" for row in rows)
        (folder / f"{path.name}.parts.sha256").write_text(sums, encoding="utf-8")
        listing = folder / f"{path.name}.parts.json"
        listing.write_bytes(canonical({"file": path.name, "size_bytes": size, "parts": rows}))
    except OSError as failed:
        raise host_error(failed, folder) from failed
    return listing


def _part(path: Path, part: Part, to: Path, progress: Progress) -> str:
    sha256 = _copy(path, part, None, progress)
    if to.is_file() and to.stat().st_size == part.size and _of(to) == sha256:
        return sha256
    half = to.with_name(to.name + ".partial")
    try:
        if _copy(path, part, half, Progress("", 0)) != sha256 or _of(half) != sha256:
            raise error(
                "bundle_altered", f"{to.name} does not read back as it was written", "try again"
            )
        half.replace(to)
    finally:
        half.unlink(missing_ok=True)
    return sha256


def _copy(path: Path, part: Part, to: Path | None, progress: Progress) -> str:
    digest, left = hashlib.sha256(), part.size
    with path.open("rb") as source:
        source.seek(part.start)
        target = to.open("wb") if to else None
        try:
            while left and (data := source.read(min(CHUNK, left))):
                digest.update(data)
                progress.add(len(data))
                left -= len(data)
                if target:
                    target.write(data)
            if target:
                flush(target)
        finally:
            if target:
                target.close()
    return digest.hexdigest()


def _of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
