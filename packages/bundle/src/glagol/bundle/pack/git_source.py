"""The commit that a bundle is made from: git objects, never the working tree.

File modes, line ends and uncommitted changes of the working tree do not matter, so any clone of the
commit gives the same listing and the same bytes under any umask.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glagol.bundle.errors import error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Object:
    """A tracked file: its path, git object and whether it may be executed."""

    path: str
    oid: str
    executable: bool


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git checkout.

    Attributes:
        root: its top folder.
        commit: what is packed; a full object id.
        objects: tracked files by path.
        changed: tracked files whose bytes in the working tree are not the commit's; the commit's
            are packed.
    """

    root: Path
    commit: str
    objects: dict[str, Object]
    changed: tuple[str, ...]

    @classmethod
    def open(cls, root: Path) -> Checkout:
        """Read the commit that is checked out.

        Raises:
            InputError: `bundle_source`, not a git checkout.
            HostError: `bundle_tool`, there is no git.
        """
        commit = _git(root, "rev-parse", "HEAD^{commit}").decode().strip()
        objects = {}
        for line in _git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            if line:
                meta, _, path = line.decode().partition("\t")
                mode, kind, oid = meta.split()
                if kind == "blob" and mode != "120000":  # links stay out: a bundle has files only
                    objects[path] = Object(path, oid, mode == "100755")
        names = ("diff", "--name-only", "--no-renames", "-z", commit)
        differing = _git(root, "-c", "core.fileMode=false", *names).decode()
        return cls(root, commit, objects, tuple(filter(None, differing.split("\0"))))

    def refuse_other_pins(self) -> None:
        """Make sure that manifest and locks are the commit's.

        Otherwise a bundle would install and serve, but lack the model that was pinned last.

        Raises:
            InputError: `bundle_source`, they differ.
        """
        pins = [path for path in self.changed if path.startswith(("manifest.json", "lock/"))]
        if pins:
            raise error(
                "bundle_source",
                f"{', '.join(pins)} differs from commit {self.commit[:12]}, which would be packed",
                f"review and commit: git diff {pins[0]}, git commit -m 'chore: pins' "
                + " ".join(pins),
            )

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of tracked files.

        Raises:
            InputError: `bundle_source`, a path is not tracked.
        """
        wanted = list(paths)
        missing = [path for path in wanted if path not in self.objects]
        if missing:
            raise error(
                "bundle_source", f"{missing[0]} is not in the commit", "commit it and try again"
            )
        request = "".join(f"{self.objects[path].oid}\n" for path in wanted).encode()
        answer = _git(self.root, "cat-file", "--batch", given=request)
        found, at = {}, 0
        for path in wanted:
            end = answer.index(b"\n", at)
            size = int(answer[at:end].split()[2])
            found[path] = answer[end + 1 : end + 1 + size]
            at = end + size + 2
        return found


def _git(root: Path, *arguments: str, given: bytes = b"") -> bytes:
    # A checkout on a USB disk or a shared folder may belong to another user: that is fine here,
    # since nothing of it is run.
    command = ["git", "-C", str(root), "-c", "safe.directory=*", *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False)
    except OSError as failed:
        raise error("bundle_tool", f"git cannot be run: {failed.strerror}", "install git") from None
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        raise error(
            "bundle_source", f"{root} cannot be read: {text}", "run this in a clone with a commit"
        )
    return done.stdout
