"""Replace `manifest.json`, and keep an archive of all its versions.

    STORE/manifests/<sha256>.json    every manifest that an edit replaced or made, byte for byte

The archive is in the store, since a manifest is of no use without its artifacts. A rollback needs
neither version control nor a network. Each file is checked against its name when it is read.
"""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.core.errors import InputError, IntegrityError
from glagol.core.files import write_atomic
from glagol.models import changelog
from glagol.models.home import load

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Manifest
    from glagol.registry.registry import Registry

__all__ = ["StoredManifest", "archive", "editing", "history", "noting", "select", "write"]


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of the archive, or the current one.

    Attributes:
        sha256: Digest of its bytes; transcripts have it in their provenance.
        manifest: Its content.
    """

    sha256: str
    manifest: Manifest


@contextmanager
def editing(home: Path) -> Iterator[Registry]:
    """Open the registry at `home` for an edit; other edits wait until the block ends.

    Raises:
        InputError: `setting_invalid`, there is no manifest.
        IntegrityError: `manifest_invalid`, `manifest_too_new`.
    """
    load(home)  # raises for a wrong directory before the lock is taken
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield load(home)
    finally:
        os.close(descriptor)


def write(
    home: Path, registry: Registry, after: Manifest, section: str, text: str, *, dry_run: bool
) -> str:
    """Replace the manifest by `after`, add a changelog line, and archive both manifests.

    The manifest is renamed into place last. An edit that is killed before that has no effect and
    can be repeated.

    Args:
        home: The directory of manifest.json and CHANGELOG.md; the latter is created when absent.
        registry: The registry with the manifest that is replaced.
        after: The new manifest.
        section: The section of the changelog.
        text: What changed, in words.
        dry_run: Write nothing.

    Returns:
        The difference in both files, as a unified diff.

    Raises:
        InputError: `option_invalid`, manifest.json has changed since `registry` read it.
        HostError: `disk_full`, `host_io`.
    """
    from glagol.registry.manifest.read import canonical

    manifest = home / "manifest.json"
    old, new = manifest.read_bytes(), canonical(after)
    if hashlib.sha256(old).hexdigest() != registry.manifest_sha256:
        raise InputError(
            "option_invalid", f"{manifest} was changed by another process", "run the command again"
        )
    log_old = _log(home)
    line = f"manifest_version {after.manifest_version}: {text}."
    log_new = changelog.insert(log_old, section, line)
    if not dry_run:
        archive(registry.store.root, old)
        archive(registry.store.root, new)
        write_atomic(home / "CHANGELOG.md", log_new.encode())
        write_atomic(manifest, new)
    manifests = _diff("manifest.json", old.decode(), new.decode())
    return manifests + _diff("CHANGELOG.md", log_old, log_new)


@contextmanager
def noting(home: Path) -> Iterator[Registry]:
    """Open the registry at `home` for code that replaces the manifest itself (`build --record`).

    When the block ends, also by an exception, both manifests are archived and a line is added to
    the changelog. Nothing is written when the manifest has not changed.

    Raises:
        InputError: `setting_invalid`, there is no manifest.
        IntegrityError: `manifest_invalid`, `manifest_too_new`.
        HostError: `disk_full`, `host_io`.
    """
    from glagol.registry.manifest.edit import changes

    registry = load(home)
    old = (home / "manifest.json").read_bytes()
    try:
        yield registry
    finally:
        new = (home / "manifest.json").read_bytes()
        if new != old:
            after = load(home).manifest
            archive(registry.store.root, old)
            archive(registry.store.root, new)
            text = "; ".join(changes(registry.manifest, after))
            line = f"manifest_version {after.manifest_version}: {text}."
            log = changelog.insert(_log(home), "Changed", line)
            write_atomic(home / "CHANGELOG.md", log.encode())


def archive(store: Path, data: bytes) -> None:
    """Add a manifest's bytes to the archive under their digest, unless the archive has them.

    Raises:
        HostError: `disk_full`, `host_io`.
    """
    path = store / "manifests" / f"{hashlib.sha256(data).hexdigest()}.json"
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def history(registry: Registry, note: Callable[[str], None]) -> list[StoredManifest]:
    """Every manifest of the archive and the current one, by version.

    Args:
        registry: The current manifest, and the store with the archive.
        note: Called with a line of text for each file that is left out, because its name is not
            its digest or it cannot be read.
    """
    from glagol.registry.manifest.read import parse

    found = {registry.manifest_sha256: StoredManifest(registry.manifest_sha256, registry.manifest)}
    for path in sorted((registry.store.root / "manifests").glob("*.json")):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.stem:
            note(f"{path} is left out: its bytes have another digest")
            continue
        try:
            found.setdefault(path.stem, StoredManifest(path.stem, parse(data)))
        except IntegrityError as error:
            note(f"{path} is left out: {error.message}")
    return sorted(found.values(), key=lambda kept: (kept.manifest.manifest_version, kept.sha256))


def select(registry: Registry, wanted: str | None, note: Callable[[str], None]) -> StoredManifest:
    """Select a manifest of the archive by version or digest.

    Args:
        registry: The current manifest, and the store with the archive.
        wanted: A manifest_version, or at least four characters of the beginning of a digest; None
            for the version before the current one.
        note: Called with a line of text for each file that is left out.

    Raises:
        InputError: `not_found`; `option_invalid`, several manifests match.
    """
    others = [kept for kept in history(registry, note) if kept.sha256 != registry.manifest_sha256]
    now = registry.manifest.manifest_version
    versions = [kept.manifest.manifest_version for kept in others]
    if wanted is None:
        wanted = str(max((version for version in versions if version < now), default=0))
    fitting = [
        kept
        for kept in others
        if wanted == str(kept.manifest.manifest_version)
        or (len(wanted) >= 4 and kept.sha256.startswith(wanted))
    ]
    if len(fitting) > 1:
        raise InputError(
            "option_invalid",
            f"{wanted} matches several manifests: {', '.join(k.sha256 for k in fitting)}",
            "give more characters of the digest",
        )
    if not fitting:
        known = ", ".join(str(version) for version in versions) or "no other version"
        raise InputError(
            "not_found",
            f"the archive has {known}, not the requested one",
            "see `glagol models history`; a manifest.json from version control can be given"
            " with --from FILE",
        )
    return fitting[0]


def _log(home: Path) -> str:
    """The text of the changelog, or of a new one when there is no file."""
    path = home / "CHANGELOG.md"
    return path.read_text(encoding="utf-8") if path.is_file() else changelog.NEW


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(lines)
