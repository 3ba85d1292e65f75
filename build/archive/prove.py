"""The work of build/proof-archive; exit status 1 when anything is not as promised.

Costs are processor seconds, and every ratio is of two figures of one run.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import obstore
import pyarrow.parquet
from obstore.store import S3Store

from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.output.formats import FORMATS
from glagol.speech.pipeline.recognizer import Recognizer

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("GLAGOL_ARCHIVE_HOME") or ROOT)
MODEL = os.environ.get("GLAGOL_ARCHIVE_MODEL") or "gigaam-nano"
QUICK = os.environ.get("GLAGOL_ARCHIVE") == "quick"
CLIPS = [ROOT / f"models/{name}/golden/clip.flac" for name in ("gigaam-nano", "whisper-base")]
RATE = 16_000
ROUNDS = 5 if QUICK else 50
SHORT, LONG_S, MANY = (60, 600, 0) if QUICK else (300, 3600, 20_000)
"""Files of 10 s, seconds of the long ones, and files for the driver's memory."""

COST_LONG, COST_SHORT, SPEED = 1.08, 1.20, 0.95
DRIVER_MIB = 500
TICK_S = os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass
class Promise:
    """Remembers whether all held."""

    broken: int = 0

    def hold(self, what: str, held: bool) -> None:
        """Report one promise."""
        say(f"{'ok    ' if held else 'BROKEN'} {what}")
        self.broken += not held


def sounds() -> np.ndarray:
    """Speech of the repository's clips, with short pauses, float32 [n]."""
    parts = []
    for path in CLIPS:
        parts += [*decode(io.BytesIO(path.read_bytes()), max_seconds=60), np.zeros(RATE // 2)]
    return np.concatenate(parts).astype(np.float32)


def write(path: Path, samples: np.ndarray, seconds: float, offset: int) -> None:
    """A 16-bit WAV file of that many seconds, from another place of the sound each."""
    count = round(seconds * RATE)
    turned = np.roll(samples, -offset)
    data = np.tile(turned, -(-count // len(turned)))[:count]
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(data, -1, 1) * 32767).astype("<i2").tobytes())


def command(source: Path | str, target: Path | str, actors: int) -> list[str]:
    """The archive command."""
    python = [sys.executable, "-m", "glagol.cli", "archive", str(source), "--to", str(target)]
    given = ["--home", str(HOME), "-m", MODEL, "--actors", str(actors), "-q", "--resume"]
    return [*python, *given, "-f", "json"]


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(above, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


class Watch(threading.Thread):
    """Processor seconds of a process and all below it, and the driver's most memory."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._used = pid, dict[int, float]()
        self.peak_mib = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Look twice a second; what a process used before it ended is kept."""
        while not self.over.wait(0.5):
            for pid in tree(self._pid):
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                self._used[pid] = sum(map(int, fields[11:15])) / TICK_S
                if pid == self._pid and "VmHWM:" in status:
                    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
                    self.peak_mib = max(self.peak_mib, peak)

    @property
    def cpu_s(self) -> float:
        """Of the longest-lived processes; children that were waited for are in their parents."""
        return sum(self._used.values())


def archived(source: Path | str, target: Path | str, actors: int) -> tuple[float, float, Watch]:
    """Wall seconds, processor seconds, and what was watched of one run."""
    began = time.monotonic()
    process = subprocess.Popen(command(source, target, actors))
    watch = Watch(process.pid)
    watch.start()
    status = process.wait()
    watch.over.set()
    if status:
        sys.exit(f"the archive command ended with {status}")
    return time.monotonic() - began, watch.cpu_s, watch


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
            archived(all_, folder / f"{name}-out", 1)[1]
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


def digests(target: Path) -> dict[str, str]:
    """Digest of every file that was written for a recording."""
    folder = target / "files"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.json"))
    }


def waited(process: subprocess.Popen[bytes], held: Callable[[], bool]) -> None:
    """Until something holds or the run is over."""
    while process.poll() is None and not held():
        time.sleep(0.02)


def kills(promise: Promise, folder: Path) -> None:
    """kill -9 of the driver at random moments; then every file once, with the same bytes."""
    source, target = folder / "short", folder / "killed"
    rounds, dice = 0, random.Random(21)  # noqa: S311 - moments, no secret
    for _ in range(ROUNDS):
        process = subprocess.Popen(command(source, target, 2), start_new_session=True)
        before = len(digests(target))
        more = dice.randrange(0, 6)
        waited(
            process,
            lambda n=before + more: len(digests(target)) > n or len(digests(target)) == SHORT,
        )
        time.sleep(dice.random() * 0.2)
        rounds += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    archived(source, target, 2)
    rows = [
        path
        for file in (target / "recordings").glob("*.parquet")
        for path in pyarrow.parquet.read_table(file, columns=["path"])["path"].to_pylist()
    ]
    expected = sorted(str(path) for path in source.rglob("*.wav"))
    promise.hold(
        f"{ROUNDS} kills, {rounds} of them in the work: every file has one row",
        sorted(rows) == expected,
    )
    promise.hold(
        "and the bytes of the undisturbed run", digests(target) == digests(folder / "short-out")
    )


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


def main() -> int:
    """All proofs; 1 when one does not hold."""
    samples, promise = sounds(), Promise()
    with tempfile.TemporaryDirectory(prefix="glagol-proof-") as place:
        folder = Path(place)
        for number in range(SHORT):
            write(folder / f"short/{number:04}.wav", samples, 10.0, number * 911)
        write(folder / "short-1/0.wav", samples, 10.0, 1)
        for number in range(2):
            write(folder / f"long/{number}.wav", samples, LONG_S, number * 7001)
        write(folder / "long-1/0.wav", samples, 20.0, 3)
        costs(promise, folder)
        kills(promise, folder)
        stores(promise, folder)
        if not QUICK:
            speed(promise, folder)
            many(promise, folder, samples)
    return int(promise.broken > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(Path(sys.argv[2]))
        sys.exit(0)
    sys.exit(main())
