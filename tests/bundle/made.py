"""A small made-up release: a git checkout, wheels, a store, and a machine that needs no uv."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glagol.bundle.install.disk import Disk
from glagol.bundle.install.steps import Environment
from glagol.bundle.install.target import Target
from glagol.bundle.pack.git_source import Checkout
from glagol.bundle.pack.index import Index
from glagol.bundle.pack.pack import Contents, pack, prepare
from glagol.bundle.pack.sources import VERSION_FILE, Sources
from glagol.bundle.verify import canonical
from glagol.bundle.write import Written
from glagol.registry.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
OWN = "packages/bundle/src/glagol/bundle"
VOICE = "packages/voice/src/glagol/voice/says.txt"
SYSTEM = "x86_64-linux"
TEXT = "съешь же ещё этих мягких французских булок"
LLM_WHEELS = (
    "sound-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",  # as in asr-cuda
    "sound-2.0-cp311-cp311-manylinux_2_31_x86_64.whl",
    "tongue-2.0-py3-none-any.whl",
)
__all__ = ["Index", "Machine", "Release", "checkout", "release", "serves", "target_at"]


@dataclass(frozen=True, slots=True)
class Release:
    """A packed release and what it was packed from."""

    root: Path
    contents: Contents
    written: Written

    @property
    def tar(self) -> Path:
        """The plain tar."""
        return self.written.path


def wheel(name: str, version: str, files: dict[str, bytes], meta: str = "License: MIT\n") -> bytes:
    """A wheel, the same bytes each time."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\n{meta}\n".encode(),
        f"{info}/LICENSE": f"text of {name}\n".encode(),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(content):
            archive.writestr(zipfile.ZipInfo(path), content[path])
    return out.getvalue()


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _manifest(version: int, blobs: list[bytes], golden: dict[str, bytes]) -> bytes:
    paths = sorted(golden)
    clip, transcript = paths
    tiny = {
        "id": "tiny",
        "engine": "gigaam",
        "version": "1",
        "license": "MIT",
        "languages": ["ru"],
        "source": {"repo": "made/up"},
        "variants": [
            {
                "id": "cpu-fp32",
                "provider": "cpu",
                "precision": "fp32",
                "artifacts": [
                    {"path": f"blob{n}", "sha256": sha256(b), "size_bytes": len(b)}
                    for n, b in enumerate(blobs)
                ],
            }
        ],
        "decoding": {"kind": "ctc"},
        "golden": {
            "audio": clip,
            "audio_sha256": sha256(golden[clip]),
            "transcript": transcript,
            "transcript_sha256": sha256(golden[transcript]),
        },
    }
    absent = {
        **{k: v for k, v in tiny.items() if k != "golden"},
        "id": "absent",
        "unpinned": "it is not built yet",
        "variants": [{"id": "cpu-fp32", "provider": "cpu", "precision": "fp32"}],
    }
    vad = {
        **{k: v for k, v in tiny.items() if k not in {"golden", "languages"}},
        "id": "vad",
        "engine": "silero",
        "decoding": {"kind": "vad"},
    }
    return json.dumps(
        {
            "manifest_version": version,
            "min_reader_version": 1,
            "defaults": {"asr": "tiny", "vad": "vad"},
            "models": [tiny, absent, vad],
        },
        sort_keys=True,
        indent=2,
    ).encode()


def checkout(root: Path, *, version: str = "0.1.0", says: str = TEXT, manifest: int = 1) -> None:
    """Make and commit a checkout at `root` with wheels in `.work/wheels` and a store in `store`."""
    blobs = [b"encoder" * 300, b"weights" * 300]  # two of one size
    golden = {"models/tiny/golden/clip.flac": b"fLaC made up", "models/tiny/golden/clip.txt": b""}
    golden["models/tiny/golden/clip.txt"] = f"{TEXT}\n".encode()
    uv = wheel("uv", "0.0.1", {"uv-0.0.1.data/scripts/uv": b"#!/bin/sh\nexit 1\n"})
    sound = wheel("sound", "1.0", {"sound/__init__.py": b"answer = 42\n"})
    wheels = {
        "uv-0.0.1-py3-none-musllinux_1_1_x86_64.whl": uv,
        "sound-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": sound,
    }
    rows = {
        name: [{"name": name, "version": v, "file": file, "sha256": sha256(wheels[file])}]
        for file in wheels
        for name, v in [file.split("-")[:2]]
    }
    files: dict[str, bytes] = {
        "pyproject.toml": b"[tool.uv.workspace]\n",
        VERSION_FILE: f'VERSION: Final = "{version}"\n'.encode(),
        "README.md": b"A made-up release.\n",
        "manifest.json": _manifest(manifest, blobs, golden),
        "build/seal.py": b"# nothing to seal\n",
        "build/find-python": (REPOSITORY / "build" / "find-python").read_bytes(),
        "models/tiny/LICENSE": b"MIT, made up\n",
        "models/tiny/weights.safetensors": b"source weights stay at home",
        "models/vad/LICENSE": b"MIT, made up\n",
        "tests/left_out.py": b"# stays at home\n",
        VOICE: f"{says}\n".encode(),
        f"{OWN}/install.sh": (REPOSITORY / OWN / "install.sh").read_bytes(),
        f"{OWN}/verify.py": (REPOSITORY / OWN / "verify.py").read_bytes(),
        f"{OWN}/release/bin/glagol": f'#!/bin/sh\ncat "@TARGET@/current/src/{VOICE}"\n'.encode(),
        **golden,
    }
    for lock, name in (("asr-cpu", "sound"), ("asr-cuda", "sound"), ("tools", "uv")):
        row = rows[name][0]
        files[f"lock/{lock}.txt"] = f"{name} --hash=sha256:{row['sha256']}\n".encode()
        files[f"lock/{lock}.{SYSTEM}.json"] = json.dumps([row]).encode()
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / ".work" / "wheels").mkdir(parents=True)
    for file, data in wheels.items():
        (root / ".work" / "wheels" / file).write_bytes(data)
    for blob in blobs:
        Store(root / "store").add_bytes(blob)
    commit(root, sorted(files))


def add_llm(root: Path) -> None:
    """Add two language models, one the default, and the lock of their environment; commit."""
    _, newer, tongue = LLM_WHEELS
    files = {newer: wheel("sound", "2.0", {"sound/__init__.py": b"answer = 43\n"})}
    files[tongue] = wheel("tongue", "2.0", {"tongue/__init__.py": b"\n"})
    for file, data in files.items():
        (root / ".work" / "wheels" / file).write_bytes(data)
    rows = [
        {
            "name": n,
            "version": v,
            "file": f,
            "sha256": sha256((root / ".work/wheels" / f).read_bytes()),
        }
        for f in LLM_WHEELS
        for n, v in [f.split("-")[:2]]
    ]
    lock = "".join(f"{r['name']} --hash=sha256:{r['sha256']}\n" for r in rows).encode()
    manifest = json.loads((root / "manifest.json").read_bytes())
    tiny = next(model for model in manifest["models"] if model["id"] == "tiny")
    for name in ("talker", "whisperer"):
        Store(root / "store").add_bytes(name.encode() * 300)
        artifact = {
            "path": "model.safetensors",
            "sha256": sha256(name.encode() * 300),
            "size_bytes": len(name) * 300,
        }
        variant = {"id": "cuda-bf16", "provider": "cuda", "precision": "bf16"}
        model = {k: v for k, v in tiny.items() if k not in {"golden", "decoding"}}
        model |= {"id": name, "engine": "vllm", "variants": [variant | {"artifacts": [artifact]}]}
        manifest["models"].append(model)
    manifest["defaults"]["llm"] = "talker"
    added = {
        "manifest.json": json.dumps(manifest, sort_keys=True, indent=2).encode(),
        "models/talker/LICENSE": b"MIT, made up\n",
        "models/whisperer/LICENSE": b"MIT, made up\n",
        "lock/llm-cuda.txt": lock,
        f"lock/llm-cuda.{SYSTEM}.json": json.dumps(rows).encode(),
    }
    for path, data in added.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    commit(root, sorted(added))


def installable(folder: Path, name: str, version: str, scripts: tuple[Path, ...] = ()) -> str:
    """A wheel that an installer takes, with scripts; its digest."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": b"\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **{f"{name}-{version}.data/scripts/{path.name}": path.read_bytes() for path in scripts},
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]).encode()
    place = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return sha256(place.read_bytes())


def commit(root: Path, files: list[str]) -> None:
    """Commit files as a fixed author, at a fixed time."""
    identity = {f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in _IDENTITY.items()}
    settings = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"}
    git = partial(subprocess.run, check=True, capture_output=True, cwd=root, env=settings)
    if not (root / ".git").exists():
        git(["git", "init", "-q"])
    git(["git", "add", "--", *files])
    git(["git", "commit", "-q", "-m", "made up"])


_IDENTITY = {"NAME": "tester", "EMAIL": "tester@invalid", "DATE": "2026-01-01T00:00:00Z"}


def contents(root: Path, variant: str = "cpu") -> Contents:
    """What a bundle of the checkout holds."""
    sources = Sources(Checkout.open(root), (root / ".work" / "wheels",), (root / "store",))
    return prepare(sources, variant, SYSTEM)[1]


def release(root: Path, signature: bytes | None = None) -> Release:
    """Pack the checkout at `root` into `root/dist`."""
    made = contents(root)
    return Release(root, made, pack(made, signature, root / "dist"))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine whose environments are one file, and whose releases say what their voice says."""

    facts: tuple[str, str, str] = (SYSTEM, "2.36", "3.11")
    free: int = 1 << 40

    def system(self) -> str:
        return self.facts[0]

    def glibc(self) -> str:
        return self.facts[1]

    def python(self, wanted: Sequence[str]) -> str:  # noqa: ARG002 - it has one
        return self.facts[2]

    def free_bytes(self, path: Path) -> int:  # noqa: ARG002 - every disk is the same
        return self.free

    def environment(self, disk: Disk, release: Path, what: Environment, python: str) -> None:
        assert (release / what.lock).is_file()
        assert (release / what.uv).is_file()
        disk.folder(release / what.folder)
        disk.file(release / what.folder / "made", [f"for Python {python}".encode()], 0o644)

    def answer(self, release: Path, model: str, audio: str) -> str:
        assert model == "tiny"
        assert (release / audio).read_bytes() == b"fLaC made up"
        return (release / "src" / VOICE).read_text(encoding="utf-8")


def target_at(root: Path) -> Target:
    """The installation at `root`."""
    return Target(root)


def serves(target: Target) -> str:
    """The name of the release that runs, once every file of it has proved to be right."""
    running = target.running()
    assert running is not None
    for row in running.index["files"]:
        if not row["path"].startswith("store/"):
            data = (target.current / row["path"]).read_bytes()
            assert sha256(data) == row["sha256"], row["path"]
        assert target.store.verify(row["sha256"]), row["path"]
    assert (target.current / "env" / "made").read_text().startswith("for Python 3.")
    assert canonical(running.index) == (target.current / "bundle.json").read_bytes()
    spoken = subprocess.run([target.current / "bin" / "glagol"], capture_output=True, check=True)
    assert spoken.stdout.decode().strip() == TEXT
    return str(running.index["name"])
