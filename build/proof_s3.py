"""The work of build/proof-s3: `glagol models fetch` against an S3 API that checks signatures.

Exit status 1 when anything differs. Everything talks to 127.0.0.1 alone; in a network namespace of
its own (`ip link` shows `lo` only) the loopback is raised here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.store import S3Store

from glagol.registry.manifest.read import canonical
from glagol.registry.manifest.types import (
    Artifact,
    Defaults,
    Manifest,
    Model,
    Source,
    Variant,
)
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
BIG = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(9 * MIB // 32))
SMALL = b"a small artifact"
FOLDER = "a folder/of models"
GOOD, BAD = "s3://good/a%20folder/of%20models", "s3://bad/a%20folder/of%20models"
SET_UP_MAX_S = 60.0
BEGAN = time.monotonic()


def step(text: str) -> None:
    """Say what is proved next."""
    sys.stdout.write(f"== s3: {text} ({time.monotonic() - BEGAN:.0f}s)\n")
    sys.stdout.flush()


def right(*facts: object) -> None:
    """Stop unless every fact holds.

    Raises:
        SystemExit: one does not.
    """
    for fact in facts:
        if not fact:
            sys.exit(f"proof-s3: not so: {facts}")


def loopback_up() -> bool:
    """Raise `lo` where it is the only interface; whether it is."""
    alone = [name for _, name in socket.if_nameindex()] == ["lo"]
    if alone:
        with socket.socket() as any_socket:
            request = struct.pack("16sh14x", b"lo", 0x41)  # IFF_UP | IFF_RUNNING
            fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS
    return alone


@contextmanager
def server(log: Path) -> Iterator[None]:
    """An S3 API with the buckets `good` and `bad`; AWS_* names it and nothing else does."""
    for name in [n for n in os.environ if n.startswith("AWS_") or n.lower().endswith("_proxy")]:
        del os.environ[name]
    python = ROOT / ".env/s3/bin/python"
    program = [str(python), str(ROOT / "build/s3_server.py"), "good", "bad"]
    with log.open("wb") as errors:
        pipe = subprocess.PIPE
        process = subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=errors, text=True)
    with process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        said = process.stdout.readline().split()
        if len(said) != 3:
            sys.exit(f"proof-s3: the server did not start: {log.read_text()[-2000:]}")
        os.environ["AWS_ENDPOINT"], os.environ["AWS_ACCESS_KEY_ID"] = said[:2]
        os.environ["AWS_SECRET_ACCESS_KEY"] = said[2]
        os.environ["AWS_REGION"] = "us-east-1"
        yield
        process.communicate()  # the end of its stdin


def make_home(folder: Path) -> dict[str, bytes]:
    """A manifest of two made-up models; its artifacts by digest."""
    blobs = {hashlib.sha256(data).hexdigest(): data for data in (BIG, SMALL)}
    parts = {data: Artifact(path=f"part-{len(data)}", sha256=sha256, size_bytes=len(data))
             for sha256, data in blobs.items()}  # fmt: skip

    def model(name: str, data: bytes, **rest: object) -> Model:
        build = Variant(id="cpu-fp32", provider="cpu", precision="fp32", artifacts=(parts[data],))
        source = Source(repo="made up")
        return Model(
            id=name, version="1", license="MIT", source=source, variants=(build,), **rest
        )  # fmt: skip

    manifest = Manifest(
        manifest_version=1,
        min_reader_version=1,
        defaults=Defaults(asr="big", vad="small"),
        models=(
            model("big", BIG, engine="gigaam", decoding={"kind": "ctc"}),
            model("small", SMALL, engine="silero", decoding={"kind": "vad"}),
        ),
    )
    folder.mkdir()
    (folder / "manifest.json").write_bytes(canonical(manifest))
    return blobs


def glagol(*arguments: object, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with these settings besides AWS_*; an empty one is taken away."""
    env = {name: value for name, value in (os.environ | settings).items() if value}
    program = [sys.executable, "-m", "glagol.cli", "models", *map(str, arguments)]
    return subprocess.run(
        [*program, "--home", str(home)], env=env, capture_output=True, text=True, check=False
    )


def tail(sha256: str) -> str:
    """Path of a blob in a copy of a store."""
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def prove(work: Path, log: Path) -> None:
    """Every step; see the output."""
    home = work / "home"
    blobs = make_home(home)
    big = hashlib.sha256(BIG).hexdigest()
    store = Store(home / "store")
    wrong = BIG[:-1] + bytes([BIG[-1] ^ 1])

    step(f"upload {sum(map(len, blobs.values())) / MIB:.1f} MiB, signed, the big file in parts")
    for bucket in ("good", "bad"):
        place = S3Store(bucket, prefix=FOLDER, client_options={"allow_http": True})
        for sha256, data in blobs.items():
            obstore.put(place, tail(sha256), wrong if (bucket, data) == ("bad", BIG) else data)
    right("uploadId=" in log.read_text())

    step("fetch from the bucket, verify")
    done = glagol("fetch", "--mirror", GOOD, home=home)
    right(done.returncode == 0, done.stderr == "", store.verify(big))
    right(glagol("verify", home=home).returncode == 0)

    step("a corrupted object alone: exit 4, both digests, nothing in the store")
    store.path_of(big).unlink()
    done = glagol("fetch", "big", "--mirror", BAD, home=home)
    right(done.returncode == 4, "artifact_altered" in done.stderr, not store.has(big))
    right(big in done.stderr, hashlib.sha256(wrong).hexdigest() in done.stderr)

    step("a missing object, a corrupted one, then the next mirror")
    done = glagol("fetch", "big", "--mirror", "s3://good/none", "--mirror", BAD, "--mirror", GOOD,
                  home=home)  # fmt: skip
    right(done.returncode == 0, store.verify(big))
    asked = [line for line in log.read_text().splitlines() if "GET /" in line][-3:]
    right("/good/none/" in asked[0], "/bad/" in asked[1], "/good/a%20folder" in asked[2])

    step("an interrupted download continues by range")
    store.path_of(big).unlink()
    Path(f"{store.path_of(big)}.partial").write_bytes(BIG[: 4 * MIB])
    done = glagol("fetch", "big", "--mirror", GOOD, home=home)
    right(done.returncode == 0, store.verify(big), " 206 " in log.read_text().splitlines()[-1])

    step("a wrong secret is refused by the server, no key at all by us, before any request")
    store.path_of(big).unlink()
    guess = {"AWS_SECRET_ACCESS_KEY": "guess"}
    done = glagol("fetch", "big", "--mirror", GOOD, home=home, **guess)
    right(done.returncode == 4, "SignatureDoesNotMatch" in done.stderr)
    before = log.read_text()
    done = glagol("fetch", "big", "--mirror", GOOD, home=home, **dict.fromkeys(guess, ""))
    right(done.returncode == 2, "setting_invalid" in done.stderr, log.read_text() == before)

    step("a model comes back from the bucket with `models rollback --mirror`")
    right(glagol("bump", "big", "--version", "2", home=home).returncode == 0)
    right(glagol("rollback", home=home).returncode == 4)
    done = glagol("rollback", "--mirror", GOOD, home=home)
    right(done.returncode == 0, store.verify(big), "manifest_version 3" in done.stdout)


def main() -> None:
    """Prove it in a temporary folder."""
    if loopback_up():
        step("no interface but the loopback is here")
    else:
        step("this machine allows no network namespace; only AWS_ENDPOINT keeps to the loopback")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with server(log):
            prove(Path(folder), log)
    step("proved")


if __name__ == "__main__":
    main()
