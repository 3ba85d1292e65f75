"""bundle.json and SHA256SUMS: what a bundle is, what it needs, and every file in it."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from glagol.bundle.verify import INDEX, Entry, canonical, header, is_plain

FORMAT = 1
READER = 1  # the oldest `glagol.bundle.verify.READER` that reads a bundle of one environment
READER_LLM = 2  # and of two: an older one would leave the second out without a word
READER_PYTHONS = 3  # and for several Pythons: an older one takes their list for one version


@dataclass(frozen=True, slots=True)
class Release:
    """What a bundle is called: the version of the code, of the manifest, and the variant."""

    version: str
    manifest_version: int
    variant: str

    @property
    def name(self) -> str:
        """The stem of the file and the top folder inside."""
        return f"glagol-{self.version}+m{self.manifest_version}-{self.variant}"


@dataclass(frozen=True, slots=True)
class Requires:
    """What the target must have: `x86_64-linux`, glibc `2.28`, Python `3.11` or `3.11,3.12`."""

    system: str
    glibc: str
    python: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The known-answer clip: model to ask, paths of clip and transcript inside the bundle."""

    model: str
    audio: str
    transcript: str


@dataclass(frozen=True, slots=True)
class Index:
    """bundle.json without its list of files.

    Attributes:
        release: identity.
        requires: what the target must have.
        acceptance: what the new release must answer before it may serve.
        lock: path of the lock that the environment is made from.
        uv: path of the wheel that brings uv.
        unpacked_bytes: what the environments take on disk, without byte code.
        sources_bytes: how much of that is Python source, so that byte code will be made of it.
        left_out: models of the manifest that this bundle does not carry, with the reason.
        llm_lock: path of the lock of the language model's environment; empty without one.
    """

    release: Release
    requires: Requires
    acceptance: Acceptance
    lock: str
    uv: str
    unpacked_bytes: int
    sources_bytes: int
    left_out: tuple[tuple[str, str], ...] = ()
    llm_lock: str = ""


def front(index: Index, files: list[Entry]) -> tuple[bytes, bytes]:
    """The two lists of a bundle.

    Args:
        index: what the bundle is.
        files: every other file.

    Returns:
        (SHA256SUMS, bundle.json), both a function of the arguments' content alone.

    Raises:
        ValueError: a path is not plain or too long for a tar, or stands twice.
    """
    files = sorted(files)
    for entry in files:
        header(f"{index.release.name}/{entry.path}", entry.size, entry.executable)
        if not is_plain(entry.path):
            raise ValueError(f"not a plain path: {entry.path!r}")
    if len({entry.path for entry in files}) < len(files):
        raise ValueError("a path stands twice")
    data = canonical(
        {
            "format": FORMAT,
            "min_reader": _reader(index),
            "min_reader_remedy": "use the verify.py and install.sh that came with this bundle",
            "name": index.release.name,
            **dataclasses.asdict(index.release),
            "requires": dataclasses.asdict(index.requires),
            "acceptance": dataclasses.asdict(index.acceptance),
            "environment": {
                "lock": index.lock,
                "uv": index.uv,
                "unpacked_bytes": index.unpacked_bytes,
                "sources_bytes": index.sources_bytes,
            },
            **({"environment_llm": {"lock": index.llm_lock}} if index.llm_lock else {}),
            "left_out": dict(index.left_out),
            "files": [
                {"path": e.path, "sha256": e.sha256, "size_bytes": e.size}
                | ({"executable": True} if e.executable else {})
                for e in files
            ],
        }
    )
    listed = [(e.path, e.sha256) for e in files] + [(INDEX, hashlib.sha256(data).hexdigest())]
    sums = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(listed))
    return sums.encode(), data


def _reader(index: Index) -> int:
    if "," in index.requires.python:
        return READER_PYTHONS
    return READER_LLM if index.llm_lock else READER
