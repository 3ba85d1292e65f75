"""The work of build/proof-hours; exit status 1 when anything is not as promised."""

from __future__ import annotations

import io
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from glagol.asr.inference.pool import Engine, Opened
from glagol.asr.inference.scheduler import Job, Lane
from glagol.asr.inference.threads import divide, usable
from glagol.registry.registry import Registry
from glagol.registry.store import Store
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.output.formats import as_json
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import Options, Progress

ROOT = Path(__file__).resolve().parent.parent
MODEL = "gigaam-nano"
RATE = 16_000
EVERY_S = 1.0
"""Seconds between two short requests."""

GROWTH_MIB = 32
"""What hours may take more than ten minutes: words and segments of the transcript itself."""


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def peak_mib() -> int:
    """The most memory that this process ever had resident."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def recording(path: Path, clip: np.ndarray, hours: float) -> None:
    """Write the clip again and again, pauses of one to three seconds between."""
    pcm = (clip * 32767).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        left, turn = round(hours * 3600 * RATE), 0
        while left > 0:
            piece = np.concatenate([pcm, np.zeros(RATE * (1 + turn % 3), "<i2")])[:left]
            out.writeframes(piece.tobytes())
            left -= len(piece)
            turn += 1


def main() -> None:
    """Prove it and print the figures."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    threads, workers = divide(0, usable())
    registry = Registry.load(ROOT, Store(ROOT / "store").root)
    recognizer = Recognizer.open(registry, model=MODEL, runtime=Runtime(threads=threads))
    golden = next(iter((ROOT / "models" / MODEL / "golden").glob("clip.*"))).read_bytes()
    sound = np.concatenate(list(decode(io.BytesIO(golden), max_seconds=60.0)))
    alone = as_json(recognizer.transcribe(io.BytesIO(golden)))
    engine = Engine(
        MODEL, lambda _: Opened(recognizer, {}), queue_size=99, clock=time.perf_counter,
        workers=workers,
    )  # fmt: skip
    engine.start()

    def put(path: Path | None, lane: Lane, seen: list[Progress]) -> Job:
        file = path.open("rb") if path else io.BytesIO(golden)
        nothing: str = None  # type: ignore[assignment]  # as `alone` has none
        job = Job(file, nothing, MODEL, Options(), as_json, lane, on_progress=seen.append)
        engine.put(job)
        return job

    with tempfile.TemporaryDirectory() as folder:
        peaks, spoken = [], []
        for name, length in (("ten minutes", 1 / 6), (f"{hours:g} hours", hours)):
            path = Path(folder) / f"{name}.wav"
            recording(path, sound, length)
            began, seen, waits = time.perf_counter(), [], []
            job = put(path, "long", seen)
            while not job.done.done():
                quick = put(None, "quick", [])
                if quick.done.result(100)[1] != alone:
                    sys.exit("FAILED: a short request got another text beside the long one")
                waits.append(quick.wait_s)
                time.sleep(EVERY_S)
            transcript, _ = job.done.result()
            seconds = time.perf_counter() - began
            peaks.append(peak_mib())
            spoken.append(len(transcript.text.split()) / length)
            covered = transcript.coverage.decoded_s + transcript.coverage.dropped_s
            if abs(covered - transcript.duration_s) > 0.01:
                sys.exit(f"FAILED: {covered} s of {transcript.duration_s} s are accounted for")
            if [each.done_s for each in seen] != sorted(each.done_s for each in seen):
                sys.exit("FAILED: progress went back")
            say(
                f"{name}: {seconds:.1f} s, {length * 3600 / seconds:.0f} x real time,"
                f" peak RSS {peaks[-1]} MiB, {len(transcript.segments)} segments;"
                f" {len(waits)} short requests waited {np.median(waits):.3f} s in the middle,"
                f" {max(waits):.3f} s at most"
            )
    engine.close(5)
    if peaks[1] - peaks[0] > GROWTH_MIB:
        sys.exit(f"FAILED: memory grew by {peaks[1] - peaks[0]} MiB")
    if abs(spoken[1] / spoken[0] - 1) > 0.02:
        sys.exit(f"FAILED: {spoken[0]:.0f} words an hour became {spoken[1]:.0f}")
    say("ok")


if __name__ == "__main__":
    main()
