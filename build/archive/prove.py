"""The work of build/proof-archive; exit status 1 when anything is not as promised.

Costs are processor seconds, and every ratio is of two figures of one run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kills
import numpy as np
import obstore
from obstore.store import S3Store
from runs import HOME, MODEL, QUICK, ROOT, Promise, archived, say, sounds, write

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.output.formats import FORMATS
from glagol.speech.pipeline.recognizer import Recognizer

ROUNDS = int(os.environ.get("GLAGOL_ARCHIVE_ROUNDS") or (3 if QUICK else 50))
SHORT, LONG_S, MANY = (60, 600, 0) if QUICK else (300, 3600, 20_000)
"""Files of 10 s, seconds of the long ones, and files for the driver's memory."""

COST_LONG, COST_SHORT, SPEED = 1.08, 1.20, 0.95
DRIVER_MIB = 500


def bare(folder: Path) -> None:
    """What a recogniser alone does with the files of a folder; prints processor seconds."""
    recognizer = Recognizer.open(Registry.load(HOME), model=MODEL, runtime=Runtime(threads=1))
    began, wall = time.process_time(), time.monotonic()
    for path in sorted(folder.rglob("*.wav")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            FORMATS["json"].write(recognizer.transcribe(file, audio_sha256=digest))
    say(f"{time.process_time() - began} {time.monotonic() - wall}")


def bare_cost(folder: Path, copies: int = 1) -> tuple[float, float]:
    """Processor seconds of one bare process, and the longest wall seconds of so many at a time."""
    cores = sorted(os.sched_getaffinity(0))
    script = [sys.executable, __file__, "bare", str(folder)]
    started = [
        subprocess.Popen(
            ["taskset", "-c", str(cores[n % len(cores)]), *script],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(copies)
    ]
    found = [tuple(map(float, process.communicate()[0].split())) for process in started]
    return found[0][0], max(wall for _, wall in found)


def costs(promise: Promise, folder: Path) -> None:
    """Ray beside the bare recogniser: many files less one, so that the starts cancel."""
    for name, bound in (("short", COST_SHORT), ("long", COST_LONG)):
        one, all_ = folder / f"{name}-1", folder / name
        ours = (
            archived(all_, folder / f"{name}-costs", 1)[1]
            - archived(one, folder / f"{name}-1-out", 1)[1]
        )
        theirs = bare_cost(all_)[0] - bare_cost(one)[0]
        ratio = ours / theirs
        say(f"{name} files: {ours:.1f} processor seconds, bare {theirs:.1f}")
        promise.hold(
            f"{name} files cost {ratio:.3f} of the bare recogniser, at most {bound}", ratio <= bound
        )


def speed(promise: Promise, folder: Path) -> None:
    """From one actor to two, beside two bare processes, each on a core of its own."""
    one, single = folder / "long-1", folder / "long"
    wall = {}
    for actors in (1, 2):
        start, _, _ = archived(one, folder / f"speed-{actors}-1", actors)
        whole, _, _ = archived(single, folder / f"speed-{actors}", actors)
        wall[actors] = whole - start
    alone = bare_cost(single, 1)[1] - bare_cost(one, 1)[1]
    both = bare_cost(single, 2)[1] - bare_cost(one, 2)[1]
    ours, theirs = wall[1] / wall[2], 2 * alone / both
    say(f"two actors are {ours:.2f} times one; two bare processes {theirs:.2f} times one")
    promise.hold(f"that is {ours / theirs:.3f}, at least {SPEED}", ours / theirs >= SPEED)


def many(promise: Promise, folder: Path, samples: np.ndarray) -> None:
    """The driver's memory with many files of a second."""
    peaks = []
    for count in (MANY // 10, MANY):
        source = folder / f"many-{count}"
        for number in range(count):
            write(source / f"{number % 100}/{number}.wav", samples, 1.0, number * 37)
        peaks.append(archived(source, folder / f"many-{count}-out", 2)[2].peak_mib)
    say(f"driver: {peaks[0]} MiB with {MANY // 10} files, {peaks[1]} MiB with {MANY}")
    promise.hold(f"at most {DRIVER_MIB} MiB", peaks[1] <= DRIVER_MIB)


def stores(promise: Promise, folder: Path) -> None:
    """From a bucket into a bucket: the same bytes, and a second run has nothing to do."""
    python = ROOT / ".env/s3/bin/python"
    if not python.exists():
        say("SKIPPED: archive: the wheels of lock/s3.txt are not in reach")
        return
    server = subprocess.Popen(
        [str(python), str(ROOT / "build/s3_server.py"), "calls", "texts"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None  # noqa: S101
    url, key, secret = server.stdout.readline().split()
    os.environ.update(
        AWS_ENDPOINT=url,
        AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID=key,
        AWS_SECRET_ACCESS_KEY=secret,
        AWS_ALLOW_HTTP="true",
        no_proxy="127.0.0.1",
    )
    calls, texts = S3Store("calls"), S3Store("texts")
    for number in range(3):
        path = folder / f"short/{number:04}.wav"
        obstore.put(calls, f"2026/{path.name}", path.read_bytes())
    archived("s3://calls/2026", "s3://texts/of 2026", 1)
    found = [entry["path"] for page in obstore.list(texts, "of 2026/files") for entry in page]
    promise.hold("a bucket: every file", len(found) == 3)
    for name in found:
        written = folder / "short-out/files" / Path(name).name
        same = bytes(obstore.get(texts, name).bytes()) == written.read_bytes()
        promise.hold(f"{name} has the bytes that a folder gives", same)
    archived("s3://calls/2026", "s3://texts/of 2026", 1)
    parts = [entry for page in obstore.list(texts, "of 2026/recordings") for entry in page]
    promise.hold("a second run writes nothing", len(parts) == 1)
    server.communicate()


def main(parts: list[str]) -> int:
    """The parts that are named, or all; 1 when something does not hold."""
    samples, promise = sounds(), Promise()
    with tempfile.TemporaryDirectory(prefix="glagol-proof-") as place:
        folder = Path(place)
        for number in range(SHORT):
            write(folder / f"short/{number:04}.wav", samples, 10.0, number * 911)
        write(folder / "short-1/0.wav", samples, 10.0, 1)
        for number in range(2):
            write(folder / f"long/{number}.wav", samples, LONG_S, number * 7001)
        write(folder / "long-1/0.wav", samples, 20.0, 3)
        archived(folder / "short", folder / "short-out", 1)
        everything = {
            "kills": lambda: kills.prove(
                promise, folder / "short", folder / "short-out", folder, ROUNDS
            ),
            "stores": lambda: stores(promise, folder),
            "costs": lambda: costs(promise, folder),
            "speed": lambda: speed(promise, folder),
            "many": lambda: many(promise, folder, samples),
        }
        for part in parts or list(everything)[: 2 if QUICK else None]:
            everything[part]()
    return int(promise.broken > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(Path(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
