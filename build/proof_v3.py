"""The work of build/proof-v3: what a build of the published size takes, and that it is right.

Needs the serving environment and Silero VAD's file (build/setup brings both), 3 GB of memory and
4 GB in the folder for temporary files. No network. Exit status 1 when anything differs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from forge import published  # noqa: E402
from forge.published import Kind  # noqa: E402

PREDICTOR = 320
POLL_S = 0.02
VARIANTS = ("cpu-fp32", "cpu-int8", "cuda-fp16")
CLIP_S = 8


class Watch:
    """The most memory a process held: private bytes, and with mapped files."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.private = self.whole = 0
        self._status = Path(f"/proc/{process.pid}/status")
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def _poll(self) -> None:
        while True:
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            fields = dict(line.split(":", 1) for line in lines)
            if "RssAnon" not in fields:  # the process has ended
                return
            self.private = max(self.private, int(fields["RssAnon"].split()[0]) * 1024)
            self.whole = max(self.whole, int(fields["VmHWM"].split()[0]) * 1024)
            time.sleep(POLL_S)

    def join(self) -> None:
        """Wait for the end of the process."""
        self._thread.join()


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def glagol(home: Path, what: str, *arguments: object) -> str:
    """Run the command, print what it took, return what it said."""
    command = [sys.executable, "-m", "glagol.cli", *map(str, arguments), "--home", str(home)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        watch = Watch(process)
        out = process.stdout.read() if process.stdout else b""
        status = process.wait()
        watch.join()
    took = time.perf_counter() - began
    say(f"   {what}: {took:.1f} s, private {size(watch.private)}, with maps {size(watch.whole)}")
    if status:
        sys.exit(f"FAILED: {what}: exit status {status}")
    return out.decode()


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def recording(path: Path) -> None:
    """Noise in bursts, 16-bit mono: a model with random weights writes some text for it."""
    source = np.random.default_rng(1)
    time_s = np.arange(CLIP_S * 16_000) / 16_000
    samples = source.standard_normal(len(time_s)) * (np.sin(2 * np.pi * time_s) > 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 3000).astype("<i2").tobytes())


def home_at(place: Path, vad: Path) -> Path:
    """A home with the entries of the four models, nothing built but the VAD."""
    (place / "lock").mkdir(parents=True)
    shutil.copy(ROOT / "lock/asr-cpu.txt", place / "lock")
    manifest = json.loads((ROOT / "manifest.json").read_bytes())
    value = published.unpinned(manifest, place.as_uri())
    (place / "manifest.json").write_text(json.dumps(value, ensure_ascii=False))
    glagol(place, "Silero VAD", "models", "build", "--source", vad, "silero-vad")
    return place


def made(place: Path, kind: Kind, form: str) -> Path:
    """The files of a model at full size."""
    began = time.perf_counter()
    published.folder(place, kind, published.full(kind), form=form, predictor=PREDICTOR)
    files = {path.name: size(path.stat().st_size) for path in sorted(place.iterdir())}
    say(f"   {form} form written in {time.perf_counter() - began:.1f} s: {files}")
    return place


def artifacts(home: Path, kind: Kind) -> dict[str, dict[str, tuple[str, int]]]:
    """Digest and size of every artifact in the manifest, by variant and path."""
    entries = json.loads((home / "manifest.json").read_bytes())["models"]
    (entry,) = [entry for entry in entries if entry["id"] == kind.id]
    return {
        variant["id"]: {a["path"]: (a["sha256"], a["size_bytes"]) for a in variant["artifacts"]}
        for variant in entry["variants"]
        if variant["artifacts"]
    }


def prove(kind: Kind, work: Path, vad: Path) -> None:
    """Everything for one model; its files are removed at the end."""
    say(f"== {kind.id}")
    home = home_at(work / "home", vad)
    source = made(work / "hf", kind, "hf")
    build = ("models", "build", "--source")
    say(glagol(home, "plan", *build, source, "--dry-run", kind.id).rstrip())
    glagol(home, "built, judged, recorded", *build, source, "--record", kind.id)
    recorded = artifacts(home, kind)
    if set(recorded) != set(VARIANTS):
        sys.exit(f"FAILED: recorded {sorted(recorded)}")
    for variant, files in recorded.items():
        say(f"   {variant}: " + ", ".join(f"{name} {size(n)}" for name, (_, n) in files.items()))
    shutil.rmtree(source)
    other = made(work / "ckpt", kind, "ckpt")
    glagol(home, "built again from the other form: same digests", *build, other, kind.id)
    shutil.rmtree(other)
    clip = work / "clip.wav"
    recording(clip)
    for variant in VARIANTS[:2]:  # the third one needs its card
        options = ("--model", kind.id, "--variant", variant, "--format", "json")
        answers = {glagol(home, f"{variant} on {CLIP_S} s", "transcribe", *options, clip)
                   for _ in range(2)}  # fmt: skip
        if len(answers) != 1:
            sys.exit(f"FAILED: {variant} wrote two texts for one recording")
        text = json.loads(answers.pop())["text"]
        digest = hashlib.sha256(text.encode()).hexdigest()
        say(f"   {variant}: {len(text)} characters, sha256 {digest[:16]}: {text[:40]!r}")
    shutil.rmtree(home)


def main() -> None:
    """Prove the named models, or all four."""
    vad = ROOT / ".env/models"
    if not (vad / "silero_vad").is_dir():
        sys.exit("FAILED: Silero VAD is not here: run build/setup")
    names = sys.argv[1:] or [kind.id for kind in published.MODELS]
    chosen = [kind for kind in published.MODELS if kind.id in names]
    if len(chosen) < len(names):
        sys.exit(f"FAILED: models are {', '.join(kind.id for kind in published.MODELS)}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="proof-v3-") as work:
        for kind in chosen:
            prove(kind, Path(work), vad)
    say(f"== done in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
