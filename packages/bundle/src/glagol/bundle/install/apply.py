"""Carry out an installation plan, roll back, and remove unused releases and files."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glagol.bundle.errors import error, stop, translated
from glagol.bundle.install import steps
from glagol.bundle.install.host import rejected
from glagol.bundle.install.preflight import Facts, preflight
from glagol.bundle.verify import (
    INDEX,
    SIGNATURE,
    SUMS,
    Progress,
    Trusted,
    read,
    signature_check,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.bundle.install.disk import Disk
    from glagol.bundle.install.host import Host
    from glagol.bundle.install.target import Installed, Target
    from glagol.bundle.verify import Entry, Files, Member

STAGED = ".staged"
TEMPLATES = "src/packages/bundle/src/glagol/bundle/release"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an installation.

    Attributes:
        signers: the file allowed_signers; None means that of the first installation.
        allow_unsigned: accept a bundle without a signature; only its checksums are verified.
        downgrade: allow a release that is older than the running one.
        stream: receives progress lines; None for none.
    """

    signers: Path | None = None
    allow_unsigned: bool = False
    downgrade: bool = False
    stream: Any = None


class Front(Trusted):
    """Verifies the front files as `Trusted` does, and keeps their bytes for the release folder."""

    def __init__(self, options: Options, target: Target) -> None:
        signers = options.signers or (target.signers if target.signers.is_file() else None)
        super().__init__(signature_check(signers, options.allow_unsigned))
        self.front: dict[str, bytes] = {}

    def take_sums(self, data: bytes, signature: bytes | None) -> None:
        """As `Trusted`'s method; keeps the bytes."""
        super().take_sums(data, signature)
        self.front[SUMS] = data
        if signature is not None:
            self.front[SIGNATURE] = signature

    def take_index(self, data: bytes) -> None:
        """As `Trusted`'s method; keeps the bytes."""
        super().take_index(data)
        self.front[INDEX] = data


@dataclass(slots=True)
class Applier:
    """Carries out the steps of one installation.

    Attributes:
        target: the folder of the installation.
        host: the machine.
        disk: writes to the target.
        trusted: the verified front files.
        files: the other files of the bundle, in order.
        progress: shows how much was copied.
    """

    target: Target
    host: Host
    disk: Disk
    trusted: Front
    files: Files
    progress: Progress

    @property
    def staged(self) -> Path:
        """The folder in which the new release is made, before it is published."""
        return self.target.release(STAGED)

    def carry_out(self, step: steps.Step) -> None:
        """Carry out one step; a finished step that is repeated changes nothing."""
        match step:
            case steps.Check(entry):
                self._check(entry)
            case steps.Take(entry):
                self._take(entry)
            case steps.Stage():
                self.disk.remove(self.staged)
                self.disk.folder(self.staged)
            case steps.Link(entry):
                self._link(entry)
            case steps.Write():
                self._write()
            case steps.Environment():
                wanted = self.trusted.index["requires"]["python"].split(",")
                python = self.host.python(wanted)
                self.host.environment(self.disk, self.staged, step, python)
            case steps.Accept():
                self._accept(self.staged)
            case steps.Publish(folder):
                self.disk.settle(self.target.root)
                self.disk.remove(self.target.release(folder))
                self.disk.rename(self.staged, self.target.release(folder))
            case steps.Switch():
                self._switch(step)
            case steps.Confirm():
                self._confirm(step)

    def _check(self, entry: Entry) -> None:
        if not self.target.store.verify(entry.sha256):
            base = (self.trusted.base or {}).get("name", "its base")
            raise error(
                "bundle_base",
                f"{entry.path} ({entry.sha256}) of {base} is missing or altered in the store",
                f"install {base} first, or bring the full bundle",
            )

    def _take(self, expected: Entry) -> None:
        entry, chunks = next(self.files)
        if entry != expected:
            raise AssertionError(f"the bundle has {entry.path} where the plan has {expected.path}")
        path = self.target.store.path_of(entry.sha256)
        if self.target.store.verify(entry.sha256):
            for data in chunks:
                self.progress.add(len(data))
            return
        self.disk.folder(path.parent)
        self.disk.file(path, self._counted(chunks), 0o444)

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for data in chunks:
            yield data
            self.progress.add(len(data))

    def finish_reading(self) -> None:
        """Check that the bundle ends where the plan ends.

        Raises:
            BundleError: something follows the last file.
        """
        if next(self.files, None) is not None:
            raise AssertionError("the plan takes fewer files than the bundle carries")

    def _link(self, entry: Entry) -> None:
        path, blob = self.staged / entry.path, self.target.store.path_of(entry.sha256)
        self.disk.folder(path.parent)
        if entry.executable:
            self.disk.file(path, [blob.read_bytes()], 0o555)
        else:
            self.disk.link(path, blob)

    def _write(self) -> None:
        for name, data in self.trusted.front.items():
            self.disk.file(self.staged / name, [data], 0o444)
        templates = self.staged / TEMPLATES
        root = str(self.target.root)
        for template in sorted(templates.rglob("*")):
            if template.is_file():
                path = self.staged / template.relative_to(templates)
                text = template.read_text(encoding="utf-8").replace("@TARGET@", root)
                self.disk.folder(path.parent)
                mode = 0o755 if path.parent.name == "bin" else 0o644
                self.disk.file(path, [text.encode()], mode)

    def _accept(self, release: Path) -> None:
        test = self.trusted.index["acceptance"]
        expected = (release / test["transcript"]).read_text(encoding="utf-8")
        found = self.host.answer(release, test["model"], test["audio"])
        if _words(found) != _words(expected):
            raise rejected(
                f"{test['model']} transcribed {test['audio']} as {found.strip()!r}, "
                f"expected {expected.strip()!r}"
            )

    def _switch(self, step: steps.Switch) -> None:
        for number in step.stale:
            self.disk.remove(self.target.generation(number))
        link = self.target.generation(step.generation)
        self.disk.folder(link.parent)
        self.disk.point(link, f"../releases/{step.folder}")
        with self._switching_back(step.generation - 1):
            self.disk.point(self.target.current, f"generations/{step.generation}")

    def _confirm(self, step: steps.Confirm) -> None:
        with self._switching_back(step.previous):
            self._accept(self.target.current)

    @contextmanager
    def _switching_back(self, previous: int) -> Iterator[None]:
        """On any exception inside the block, switch back to the generation `previous` (0: none)."""
        try:
            yield
        except BaseException:
            if previous:
                self.disk.point(self.target.current, f"generations/{previous}")
            else:
                self.disk.remove(self.target.current)
            self.disk.remove(self.target.generation(previous + 1))
            raise


def apply(
    members: Iterator[Member], target: Target, host: Host, disk: Disk, options: Options
) -> Installed:
    """Install a bundle beside the running release, then switch to the new one by one rename.

    Args:
        members: the bundle's members, from `carrier.members`.
        target: the folder of the installation.
        host: the machine.
        disk: writes to the target.
        options: trusted keys, and what is allowed.

    Returns:
        The release that runs now.

    Raises:
        GlagolError: the installation failed. The release that ran before still runs. Files that
            were copied are kept, and the same call continues.
    """
    with translated():
        trusted = Front(options, target)
        files = read(members, trusted, stop)
        first = next(files, None)
        wanted = steps.Wanted(trusted.id, trusted.index, trusted.files, trusted.carried)
        for fault in preflight(
            trusted.index, facts(wanted, target, host), downgrade=options.downgrade
        ):
            raise fault
        with target.changing(disk):
            generations = tuple(item.generation for item in target.generations())
            published = target.release(wanted.folder).is_dir()
            state = steps.InstallState(target.running(), generations, published)
            total = sum(entry.size for entry in wanted.carried)
            progress = Progress("apply", total, options.stream)
            begun = iter([first]) if first else iter(())
            applier = Applier(target, host, disk, trusted, _chained(begun, files), progress)
            _keep_signers(target, disk, options)
            for step in steps.steps(wanted, state):
                if not isinstance(step, steps.Check | steps.Take):
                    applier.finish_reading()
                applier.carry_out(step)
            applier.finish_reading()
    running = target.running()
    if running is None:
        raise AssertionError("nothing runs after an installation")
    return running


def facts(wanted: steps.Wanted, target: Target, host: Host) -> Facts:
    """Collect the facts for `preflight`."""
    missing = [entry for entry in wanted.carried if not target.store.has(entry.sha256)]
    environment = wanted.index["environment"]
    unpacked = int(environment["unpacked_bytes"])
    # Byte code was measured at 1.1 to 1.25 times its sources. Old bundles do not state their size.
    code = 2 * int(environment.get("sources_bytes", unpacked / 2))
    return Facts(
        system=host.system(),
        glibc=host.glibc(),
        python=host.python(wanted.index["requires"]["python"].split(",")),
        target=str(target.root),
        kind=target.kind(),
        running=target.running(),
        free_bytes=host.free_bytes(target.root),
        needed_bytes=sum(entry.size for entry in missing) + unpacked + code,
    )


def rollback(target: Target, disk: Disk) -> Installed:
    """Switch back to the generation before the running one, by one rename of `current`.

    Returns:
        The release that runs now.

    Raises:
        InputError: `bundle_no_previous`; `bundle_target`, there is no installation.
    """
    target.need()
    with target.changing(disk):
        running = target.running()
        now = running.generation if running else 0
        earlier = [item for item in target.generations() if item.generation < now]
        if not earlier:
            raise error(
                "bundle_no_previous",
                f"{target.root} has no release before the running one",
                "install the bundle of the older release with --downgrade",
            )
        disk.point(target.current, f"generations/{earlier[-1].generation}")
        return earlier[-1]


def garbage(target: Target, keep: int) -> list[Path]:
    """List what can be removed: old generations, and files that no kept release or manifest names.

    Args:
        target: the installation.
        keep: how many generations to keep, with the running one; at least 1.

    Returns:
        Paths to remove, in order. Models that the manifest of a kept release names are not among
        them, also when they came from another source than a bundle.

    Raises:
        InputError: `bundle_target`, there is no installation.
    """
    target.need()
    running = target.running()
    now = running.generation if running else 0
    generations = [item for item in target.generations() if item.generation <= now]
    kept = generations[-max(keep, 1) :]
    names = {item.folder for item in kept}
    numbers = {str(item.generation) for item in kept}
    roots = {entry["sha256"] for item in kept for entry in item.index["files"]}
    for item in kept:
        manifest = target.release(item.folder) / "src" / "manifest.json"
        if manifest.is_file():
            text = manifest.read_text(encoding="utf-8")
            roots |= set(re.findall(r'"sha256": "([0-9a-f]{64})"', text))
    found = [p for p in _inside(target.root / "generations") if p.name not in numbers]
    found += [p for p in _inside(target.root / "releases") if p.name not in names]
    for folder in _inside(target.root / "store" / "sha256"):
        found += [p for p in _inside(folder) if folder.name + p.name[:62] not in roots]
    return found


def collect(target: Target, disk: Disk, paths: list[Path]) -> None:
    """Remove the paths that `garbage` returned."""
    with target.changing(disk):
        for path in paths:
            disk.remove(path)


def _keep_signers(target: Target, disk: Disk, options: Options) -> None:
    if options.signers is not None:
        data = options.signers.read_bytes()
        if not target.signers.is_file() or target.signers.read_bytes() != data:
            disk.file(target.signers, [data], 0o644)


def _chained(first: Any, rest: Files) -> Files:
    yield from first
    yield from rest


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
