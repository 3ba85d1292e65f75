"""Find and verify the files of a plan: in the commit, wheel folders and model stores."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.bundle.errors import error
from glagol.bundle.pack.plan import (
    LLM_LOCKS,
    LOCKS,
    PYTHONS,
    Inputs,
    TakeBlob,
    TakeWheel,
    Tracked,
    wheel_rows,
)
from glagol.bundle.verify import Entry
from glagol.registry.manifest.read import parse
from glagol.registry.store import Store

if TYPE_CHECKING:
    from glagol.bundle.pack.git_source import Checkout
    from glagol.bundle.pack.plan import Step

SYSTEMS = ("x86_64-linux", "aarch64-linux")
VERSION_FILE = "packages/core/src/glagol/core/version.py"


@dataclass(frozen=True, slots=True)
class Bytes:
    """Content that is made here or read from the commit."""

    entry: Entry
    data: bytes


@dataclass(frozen=True, slots=True)
class File:
    """Content that stays on disk until it is written."""

    entry: Entry
    path: Path


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look.

    Attributes:
        checkout: the commit.
        wheels: folders of wheel files, in order.
        stores: content-addressed stores of model files, in order.
    """

    checkout: Checkout
    wheels: tuple[Path, ...]
    stores: tuple[Path, ...]

    def inputs(
        self,
        variant: str,
        system: str,
        models: tuple[str, ...],
        pythons: tuple[str, ...] = PYTHONS,
        also: tuple[str, ...] = (),
    ) -> Inputs:
        """What `plan` needs, read from the commit.

        Raises:
            InputError: `option_invalid`, no such variant or system; `bundle_source`.
            IntegrityError: `manifest_invalid`, `manifest_too_new`.
        """
        llm = LLM_LOCKS.get(variant)
        llm_files = [f"lock/{llm}.txt", f"lock/{llm}.{system}.json"] if llm else []
        planned = self.checkout.objects.keys() >= {*llm_files[1:]}
        if variant not in LOCKS or system not in SYSTEMS or not planned:
            raise error(
                "option_invalid",
                f"there is no bundle {variant} for {system}",
                f"variants: {', '.join(LOCKS)}; systems: {', '.join(SYSTEMS)} (full: x86_64-linux)",
            )
        lock = LOCKS[variant]
        names = ["manifest.json", VERSION_FILE, f"lock/{lock}.txt", "lock/tools.txt"]
        names += [f"lock/{lock}.{system}.json", f"lock/tools.{system}.json"]
        found = self.checkout.read([*names, *llm_files])
        return Inputs(
            version=_version(found[VERSION_FILE].decode()),
            manifest=parse(found["manifest.json"]),
            tracked=frozenset(self.checkout.objects),
            lock=found[names[2]].decode(),
            tools=found[names[3]].decode(),
            wheels=wheel_rows(json.loads(found[names[4]])),
            tool_wheels=wheel_rows(json.loads(found[names[5]])),
            system=system,
            variant=variant,
            models=models,
            also=also,
            llm_lock=found[llm_files[0]].decode() if llm else "",
            llm_wheels=wheel_rows(json.loads(found[llm_files[1]])) if llm else (),
            pythons=pythons,
        )

    def take(self, steps: tuple[Step, ...]) -> list[Bytes | File]:
        """Find every file of a plan and prove that it is the right one.

        Raises:
            IntegrityError: `artifact_missing`, `artifact_altered`, `bundle_missing`,
                `bundle_altered`: a wheel or a model file is not where it should be.
        """
        tracked = self.checkout.read(s.source for s in steps if isinstance(s, Tracked))
        found: list[Bytes | File] = []
        for step in steps:
            if isinstance(step, Tracked):
                data = tracked[step.source]
                runs = self.checkout.objects[step.source].executable
                found.append(made(step.path, data, executable=runs))
            elif isinstance(step, TakeWheel):
                found.append(_file(step.path, self._wheel(step), step.wheel.sha256))
            else:
                found.append(_file(step.path, self._blob(step), step.artifact.sha256))
        return found

    def _wheel(self, step: TakeWheel) -> Path:
        bad = None
        for folder in self.wheels:
            path = folder / step.wheel.file
            if path.is_file():
                if _sha256(path) == step.wheel.sha256:
                    return path
                bad = path
        if bad is not None:
            raise error(
                "bundle_altered",
                f"{bad} is not the file that the lock names (sha256 {step.wheel.sha256})",
                "delete it and fetch it again",
            )
        raise error(
            "bundle_missing",
            f"the wheel {step.wheel.file} is in none of the wheel folders",
            "run ./just bundle-offline on a machine with a package index, or name its folder",
        )

    def _blob(self, step: TakeBlob) -> Path:
        stores = [Store(root) for root in self.stores]
        holding = [store for store in stores if store.has(step.artifact.sha256)]
        store = (holding or stores)[0]
        store.open(step.artifact, model_id=step.model_id)  # refuses what is missing or altered
        return store.path_of(step.artifact.sha256)


def _version(source: str) -> str:
    """The version that a commit gives itself; its code is read, not run."""
    found = re.search(r'^VERSION: Final = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise error("bundle_source", f"{VERSION_FILE} names no version", "commit one there")
    return found[1]


def made(path: str, data: bytes, *, executable: bool = False) -> Bytes:
    """A member from bytes."""
    return Bytes(Entry(path, hashlib.sha256(data).hexdigest(), len(data), executable), data)


def unpacked_bytes(wheels: list[Path]) -> tuple[int, int]:
    """What wheels take once installed, without byte code, and how much of that is Python source."""
    total = sources = 0
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.infolist():
                total += member.file_size
                sources += member.file_size if member.filename.endswith(".py") else 0
    return total, sources


def _file(path: str, place: Path, sha256: str) -> File:
    """A member whose digest was proved when it was found; packing proves it again."""
    return File(Entry(path, sha256, place.stat().st_size), place)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
