"""Transcripts by another commit and by this tree, side by side; see `build/compare-transcripts`.

Everything is asked of the command line alone, so that the layout of neither tree matters. The other
commit is cloned into a temporary folder and set up there; an environment of this tree serves it
too when its lock is the same. Numbers are compared as they are written, digit for digit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("gigaam-nano", "gigaam-nano-rnnt")
RATE = 16_000
RECORDINGS = ("models/**/*.flac", "tests/**/*.flac", "tests/**/*.wav")
ENVIRONMENTS = {".env/asr-cpu": "lock/asr-cpu.txt", ".env/models": "lock/models.txt"}
SHOWN = 20
ROW = "{:18}{:10}{:9}{:>7}{:>7}{:>8}{:>13}"
Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One call of the command: a model, a variant, and what becomes of channels."""

    model: str
    variant: str
    channel: str


@dataclass
class Verdict:
    """What comparing one case found."""

    inputs: int = 0
    words: int = 0
    differing: list[str] = field(default_factory=list)
    provenance: set[str] = field(default_factory=set)


def main(revision: str) -> int:
    """Make the inputs, ask both trees, print a table; 1 when they differ."""
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        folder = Path(name)
        files = inputs(folder)
        other = folder / "other"
        checkout(revision, other)
        say(f"{len(files)} inputs, {revision} against this tree")
        say(ROW.format("model", "variant", "channel", "inputs", "words", "differ", "seconds"))
        lost = missing(other)
        verdicts = [compared(case, other, files) for case in cases(other)]
    differing = [*lost, *(line for each in verdicts for line in each.differing)]
    for line in differing[:SHOWN]:
        say(f"DIFFERS {line}")
    for line in sorted({line for each in verdicts for line in each.provenance}):
        say(f"provenance {line}")
    return 1 if differing else 0


def say(line: str) -> None:
    """A line of the report."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def missing(other: Path) -> list[str]:
    """Variants that the other tree has and this one has not."""
    return [
        f"{model} {variant} is gone"
        for model in MODELS
        for variant in sorted(_variants(other, model) - _variants(ROOT, model))
    ]


def cases(other: Path) -> Iterator[Case]:
    """Every CPU variant that both manifests have, with channels mixed and split."""
    for model in MODELS:
        for variant in sorted(_variants(ROOT, model) & _variants(other, model)):
            for channel in ("mix", "split"):
                yield Case(model, variant, channel)


def _variants(tree: Path, model: str) -> set[str]:
    manifest = json.loads((tree / "manifest.json").read_text())
    (entry,) = (each for each in manifest["models"] if each["id"] == model)
    return {each["id"] for each in entry["variants"] if each["provider"] == "cpu"}


def compared(case: Case, other: Path, files: list[Path]) -> Verdict:
    """Ask both trees, print the case's line."""
    verdict, seconds, said = Verdict(len(files)), [], []
    for tree in (other, ROOT):
        began = time.monotonic()
        said.append(transcripts(tree, case, files))
        seconds.append(f"{time.monotonic() - began:.1f}")
    before, after = said
    for file in map(str, files):
        where = f"{case.model} {case.variant} {case.channel} {Path(file).name}"
        old, new = before[file], after[file]
        _provenance(old.pop("provenance"), new.pop("provenance"), (), verdict.provenance)
        verdict.words += len(new["text"].split())
        verdict.differing += [f"{where}: {what}" for what in list(_unlike(old, new, "data"))[:1]]
    counts = (verdict.inputs, verdict.words, len(verdict.differing))
    say(ROW.format(case.model, case.variant, case.channel, *counts, " / ".join(seconds)))
    return verdict


def transcripts(tree: Path, case: Case, files: list[Path]) -> dict[str, dict[str, Any]]:
    """What the command of a tree says of each file; numbers as the text that they were."""
    ran = subprocess.run(
        [
            *("./just", "glagol", "transcribe", "--format", "json", "--threads", "1"),
            *("--model", case.model, "--variant", case.variant, "--channel", case.channel),
            *map(str, files),
        ],
        cwd=tree,
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = [json.loads(line, parse_float=str, parse_int=str) for line in ran.stdout.splitlines()]
    return {line["file"]: line["data"] for line in lines}


def environment() -> dict[str, str]:
    """That of this process without what leads to this tree."""
    ours = ("GLAGOL_", "PYTHONPATH", "ASR_", "LLM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def checkout(revision: str, target: Path) -> None:
    """A clone at `revision`, set up: its environments, and the models built by its own forge."""
    run = subprocess.run
    run(["git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, target], check=True)
    commit = run(
        ["git", "-C", ROOT, "rev-parse", "--verify", f"{revision}^{{commit}}"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    run(["git", "-C", target, "checkout", "--quiet", commit], check=True)
    if _same(target, "lock/tools.txt"):
        (target / ".tools").symlink_to(ROOT / ".tools")
    (target / ".env").mkdir()
    for name, lock in ENVIRONMENTS.items():
        if _same(target, lock) and (ROOT / name).exists():
            (target / name).symlink_to(ROOT / name)
    run(["./just", "setup"], cwd=target, env=environment(), check=True, stdout=sys.stderr)


def _same(target: Path, lock: str) -> bool:
    return (target / lock).exists() and (target / lock).read_bytes() == (ROOT / lock).read_bytes()


def _unlike(old: Any, new: Any, where: str) -> Iterator[str]:
    """Places where two answers differ."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for name in old:
            yield from _unlike(old[name], new[name], f"{where}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _unlike(*pair, f"{where}[{index}]")
    elif old != new:
        yield f"{where} was {str(old)[:120]!r}, is {str(new)[:120]!r}"


def _provenance(old: Any, new: Any, path: tuple[str, ...], found: set[str]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            _provenance(old.get(name), new.get(name), (*path, name), found)
    elif old != new:
        found.add(f"{'.'.join(path)} was {old}, is {new}")


def inputs(folder: Path) -> list[Path]:
    """Every recording of this tree, and what tests make of the first: at least twenty files."""
    found = sorted({path for pattern in RECORDINGS for path in ROOT.glob(pattern)})
    speech = samples(ROOT / "models/gigaam-nano/golden/clip.flac")
    made: dict[str, tuple[Samples, int]] = {
        f"rate-{rate}": (_at(speech, rate), rate)
        for rate in (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000)
    }
    pause = np.zeros(RATE)
    once = np.concatenate([speech, pause])
    half = len(speech) // 2
    noise = np.random.default_rng(7).normal(0, 0.01, len(speech))
    made |= {
        "two-channels": (np.stack([speech, speech], 1), RATE),
        "seven-channels": (np.stack([speech] * 7, 1), RATE),
        "two-speakers": (np.stack([once, np.roll(once, len(once) // 2)], 1), RATE),
        "one-silent": (np.stack([speech, np.zeros(len(speech))], 1), RATE),
        "three-at-8000": (np.stack([_at(speech, 8_000)] * 3, 1), 8_000),
        "long-35": (np.tile(once, 4), RATE),
        "long-120": (np.tile(once, 11), RATE),
        "long-without-pauses": (np.tile(speech, 5), RATE),
        "long-two-channels": (np.stack([np.tile(once, 4)] * 2, 1), RATE),
        "silence": (np.zeros(40 * RATE), RATE),
        "late": (np.concatenate([np.zeros(31 * RATE), speech]), RATE),
        "short": (speech[: 2 * RATE], RATE),
        "very-short": (speech[: RATE // 5], RATE),
        "cut-in-a-word": (speech[half : half + 3 * RATE], RATE),
        "quiet": (speech * 0.05, RATE),
        "loud": (np.clip(speech * 8, -1, 1), RATE),
        "noisy": (speech + noise, RATE),
        "backwards": (speech[::-1], RATE),
    }
    return [*found, *(_wav(folder / f"{name}.wav", *each) for name, each in made.items())]


def samples(path: Path) -> Samples:
    """A recording as float64 [n] at 16 kHz, one channel."""
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(path)) as container:
        frames = [new for frame in container.decode(audio=0) for new in resampler.resample(frame)]
    return np.concatenate([np.asarray(frame.to_ndarray()[0], np.float64) for frame in frames])


def _at(data: Samples, rate: int) -> Samples:
    """`data` [n] at another rate, by straight lines between samples."""
    at = np.arange(int(len(data) * rate / RATE)) * (RATE / rate)
    new: Samples = np.interp(at, np.arange(len(data)), data)
    return new


def _wav(path: Path, data: Samples, rate: int) -> Path:
    """A 16-bit WAV file of [n] or [n, channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if data.ndim == 1 else data.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(data, -1, 1) * 32767).astype("<i2").tobytes())
    return path


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
