"""What the proofs of archives share: recordings, the command, its processes and what they cost."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from glagol.speech.audio.decode import decode

__all__ = [
    "HOME",
    "MODEL",
    "QUICK",
    "ROOT",
    "Promise",
    "archived",
    "command",
    "digests",
    "once",
    "say",
    "sounds",
    "tree",
    "write",
]

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("GLAGOL_ARCHIVE_HOME") or ROOT)
MODEL = os.environ.get("GLAGOL_ARCHIVE_MODEL") or "gigaam-nano"
QUICK = os.environ.get("GLAGOL_ARCHIVE") == "quick"
CLIPS = [ROOT / f"models/{name}/golden/clip.flac" for name in ("gigaam-nano", "whisper-base")]
RATE = 16_000
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


def command(
    source: Path | str, target: Path | str, actors: int, *, address: str = "", start_s: str = "300"
) -> list[str]:
    """The archive command, on a cluster of its own or the one at an address."""
    python = [sys.executable, "-m", "glagol.cli", "archive", str(source), "--to", str(target)]
    given = ["--home", str(HOME), "-m", MODEL, "--actors", str(actors), "-q", "--resume"]
    there = ["--address", address, "--start-timeout", start_s] if address else []
    return [*python, *given, *there, "-f", "json"]


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


def digests(target: Path) -> dict[str, str]:
    """Digest of every file that was written for a recording."""
    folder = target / "files"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.json"))
    }


def once(source: Path, target: Path) -> bool:
    """Whether the table of a target has one row for each recording, and no other."""
    rows = [
        path
        for file in (target / "recordings").glob("*.parquet")
        for path in pyarrow.parquet.read_table(file, columns=["path"])["path"].to_pylist()
    ]
    return sorted(rows) == sorted(str(path) for path in source.rglob("*.wav"))
