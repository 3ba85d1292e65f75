"""An OCI image of a closure of store paths: the same paths give the same bytes, everywhere.

    python3 build/image.py OUT.tar --paths FILE --program PATH [--port N]

FILE lists one absolute path a line. OUT.tar is an OCI image layout (image-spec 1.1) in a plain tar,
with one uncompressed layer, since a compressor's version would show in its digest. Load it with
`podman load -i OUT.tar` or `skopeo copy oci-archive:OUT.tar ...`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EPOCH_S = 315532800
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image"


def walk(path: Path) -> Iterator[Path]:
    """The path and everything below it, sorted; links are not followed."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            yield from walk(child)


def entry(path: Path) -> tarfile.TarInfo:
    """A tar member that depends on name, kind, contents and the executable bit alone."""
    status = path.lstat()
    info = tarfile.TarInfo(str(path).lstrip("/"))
    info.mtime = EPOCH_S
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
    elif stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size = status.st_size
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return info


def folder(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    """A directory that is in no store path."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, mode, EPOCH_S
    return info


def write_layer(out: Path, paths: list[Path]) -> str:
    """Write the root file system as a tar; its sha256."""
    parents = {str(parent).lstrip("/") for path in paths for parent in path.parents}
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(folder("tmp", 0o1777))
        for parent in sorted(parents - {"", "tmp"}):
            tar.addfile(folder(parent))
        for path in (found for top in sorted(paths) for found in walk(top)):
            info = entry(path)
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    with out.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blob(value: dict[str, Any]) -> bytes:
    """JSON with one byte form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def descriptor(kind: str, sha256: str, size: int) -> dict[str, Any]:
    """How one part of an image names another."""
    return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{sha256}", "size": size}


def write_image(out: Path, layer: Path, layer_sha256: str, program: str, port: int) -> None:
    """Write the layout: configuration, manifest, index, layer."""
    run = {
        "Cmd": [program],
        "Env": ["ASR_HOST=0.0.0.0", "HOME=/tmp"],
        "ExposedPorts": {f"{port}/tcp": {}},
        "User": "65534:65534",
    }
    config = blob(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "created": "1980-01-01T00:00:00Z",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_sha256}"]},
        }
    )
    blobs = {hashlib.sha256(config).hexdigest(): config}
    parts = {
        "config": descriptor("config.v1+json", *blobs, len(config)),
        "layers": [descriptor("layer.v1.tar", layer_sha256, layer.stat().st_size)],
    }
    manifest = blob({"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", **parts})
    name = hashlib.sha256(manifest).hexdigest()
    blobs[name] = manifest
    top = descriptor("manifest.v1+json", name, len(manifest))
    files = {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    files["index.json"] = blob({"schemaVersion": 2, "manifests": [top]})
    files["oci-layout"] = blob({"imageLayoutVersion": "1.0.0"})
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mtime, info.mode = len(data), EPOCH_S, 0o644
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(f"blobs/sha256/{layer_sha256}")
        info.size, info.mtime, info.mode = layer.stat().st_size, EPOCH_S, 0o644
        with layer.open("rb") as file:
            tar.addfile(info, file)


def main() -> None:
    """Write the image that the command line asks for."""
    parser = argparse.ArgumentParser(description="an OCI image of a closure")
    parser.add_argument("out", type=Path)
    parser.add_argument("--paths", type=Path, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    paths = [Path(line) for line in given.paths.read_text().split()]
    layer = given.out.with_name(given.out.name + ".layer")
    write_image(given.out, layer, write_layer(layer, paths), given.program, given.port)
    layer.unlink()


if __name__ == "__main__":
    main()
