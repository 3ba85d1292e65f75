"""The work of build/proof-processors: the same clips on several classes of processor, compared.

A class is this machine, x86-64 limited to AVX2, or aarch64, the last two emulated. These build
their models themselves; other artifacts than the manifest pins are refused there. Spans, the words
of fp32, and int8's of the golden clip must be those of tests/golden/processors.json on each. int8
rounds each activation to a step, so a last bit that differs becomes a step that differs: its words
on the other clips are only reported, and its outputs must stay near fp32's. Times, confidences and
bits are reported. `--record` runs the clips of the named seeds on this machine and writes that
file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/processors.json"
PACKAGES = sorted(str(path) for path in (ROOT / "packages").glob("*/src"))
RUN_CLIPS = ROOT / "build/processors/run_clips.py"
NATIVE, AVX2, ARM = "this machine", "x86-64, AVX2", "aarch64"
RAN_FOR_INT8 = {AVX2: "cpu-int8", ARM: "cpu-int8"}
"""With AVX2 alone our library multiplies; of this machine the proof does not know it."""

CLEAN = "golden"
RUN_S = 2_400
INT8_RMS_MAX = 0.4
"""Of int8's outputs to fp32's on the same clips; measured: 0.13, and 0.23 where sums saturate."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """The results of one class of processors.

    Attributes:
        name: of the class.
        found: texts, words, spans, digests of clips, builds that ran, as run_clips.py writes them.
        outputs: arrays of the encoders and of voice activity by case and clip.
        took_s: seconds.
    """

    name: str
    found: dict[str, Any]
    outputs: dict[str, Any]
    took_s: float

    @property
    def words(self) -> dict[str, Any]:
        """What must be the same everywhere: digests of the clips, texts, spans."""
        texts = {
            case: {name: each["text"] for name, each in clips.items() if promised(case, name)}
            for case, clips in self.cases.items()
        }
        return {"sha256": self.found["sha256"], "spans": self.found["spans"], "texts": texts}

    @property
    def cases(self) -> dict[str, Any]:
        """Clips by model and variant."""
        return {key: value for key, value in self.found.items() if " " in key}

    def rms(self, model: str) -> float:
        """How far int8's outputs are from fp32's, over all clips."""
        apart = [
            self.outputs[f"{model} cpu-int8 {name}"] - self.outputs[f"{model} cpu-fp32 {name}"]
            for name in self.found["sha256"]
        ]
        return float(np.sqrt(np.square(np.concatenate(apart)).mean()))

    @property
    def models(self) -> list[str]:
        """Their ids."""
        return sorted({case.split()[0] for case in self.cases})


def promised(case: str, clip: str) -> bool:
    """Whether the words must be the same on every class."""
    return case.endswith("fp32") or clip == CLEAN


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def here() -> str:
    """This machine's processor, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = named.get("flags", "").split()
    units = [
        unit for unit in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if unit in flags
    ]
    return (
        f"{named.get('model name', platform.machine())} ({', '.join(units) or 'no units listed'})"
    )


class Run:
    """A class of processor at work on the clips."""

    def __init__(self, name: str, prefix: list[str], place: Path, seeds: list[str]) -> None:
        self.name = name
        self._out = place / name.replace(" ", "-").replace(",", "")
        path = [os.environ["PROCESSORS_SITE"], *PACKAGES] if name == ARM else PACKAGES
        world = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "ORT_DISABLE_TELEMETRY": "1"}
        if name != NATIVE:  # its artifacts are its own, and have the digests that are pinned
            world["GLAGOL_STORE"] = f"{self._out}-store"
            world["PROCESSORS_SOURCE"] = str(ROOT / ".env/models")
        self._log = self._out.with_suffix(".log").open("w+b")
        self._began = time.monotonic()
        command = [*prefix, str(RUN_CLIPS), str(self._out), *seeds]
        self._process = subprocess.Popen(
            command, env=world, stdout=self._log, stderr=subprocess.STDOUT
        )

    def result(self) -> ClassResult:
        """Wait for it; what runs longer than `RUN_S` is ended."""
        try:
            status = self._process.wait(RUN_S)
        finally:
            self.end()
        took_s = time.monotonic() - self._began
        if status:
            self._log.seek(0)
            sys.stderr.write(self._log.read().decode(errors="replace")[-3000:])
            sys.exit(f"FAILED: processors: {self.name}: exit status {status}")
        found = json.loads(self._out.with_suffix(".json").read_text())
        with np.load(self._out.with_suffix(".npz")) as outputs:
            return ClassResult(self.name, found, dict(outputs), took_s)

    def end(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.wait()


def differences(golden: dict[str, Any], result: ClassResult) -> list[str]:
    """Differences between a class and the golden file, one line for each."""
    found = result.words
    lines = [
        f"{result.name}: the clip {clip} has other bytes"
        for clip in golden["sha256"]
        if golden["sha256"][clip] != found["sha256"].get(clip)
    ]
    if golden["spans"] != found["spans"]:
        lines.append(f"{result.name}: speech is at {found['spans']}, not at {golden['spans']}")
    for case, texts in golden["texts"].items():
        for clip, text in texts.items():
            other = found["texts"][case].get(clip)
            if other != text:
                lines.append(f"{result.name}: {case}, clip {clip}: {other!r}, not {text!r}")
    lines += [
        f"{result.name}: {ran} ran for {case}"
        for case, ran in result.found["ran"].items()
        if result.name in RAN_FOR_INT8
        and case.endswith("int8")
        and ran != RAN_FOR_INT8[result.name]
    ]
    for model in result.models:
        if (rms := result.rms(model)) > INT8_RMS_MAX:
            lines.append(
                f"{result.name}: {model}: int8 is {rms:.2f} from fp32, more than {INT8_RMS_MAX}"
            )
    return lines


def rows(first: ClassResult, other: ClassResult) -> list[str]:
    """How near a class is to this machine, a line for each model and variant."""
    lines = []
    for case, clips in first.cases.items():
        pairs = [(clip, other.cases[case][name], name) for name, clip in clips.items()]
        equal = {
            "words": sum(a["text"] == b["text"] for a, b, _ in pairs),
            "times": sum(_times(a) == _times(b) for a, b, _ in pairs),
            "confidences": sum(a["words"] == b["words"] for a, b, _ in pairs),
        }
        arrays = [(first.outputs[f"{case} {n}"], other.outputs[f"{case} {n}"]) for *_, n in pairs]
        bits = sum(a.tobytes() == b.tobytes() for a, b in arrays)
        most = max(float(np.abs(a - b).max()) for a, b in arrays)
        counts = ", ".join(f"{name} {count}" for name, count in equal.items())
        ran = other.found["ran"][case]
        label = case if case.endswith(f" {ran}") else f"{case}, for which {ran} ran"
        lines.append(f"  {label}: {counts}, bits {bits} of {len(pairs)}; outputs within {most:.1e}")
        lines += [
            f"    clip {name}: {b['text']!r}, here {a['text']!r}"
            for a, b, name in pairs
            if a["text"] != b["text"]
        ]
    spans = float(np.abs(first.outputs["spans"] - other.outputs["spans"]).max())
    same = first.found["spans"] == other.found["spans"]
    lines.append(f"  silero-vad: spans {'equal' if same else 'DIFFER'}; within {spans:.1e}")
    return lines


def _times(clip: dict[str, Any]) -> list[Any]:
    return [(word["start"], word["end"]) for word in clip["words"]]


def record(result: ClassResult) -> None:
    """Write the words of a result as the new golden file."""
    GOLDEN.write_text(json.dumps(result.words, ensure_ascii=False, indent=1) + "\n")
    say(f"{GOLDEN.relative_to(ROOT)} is written; review it")


def main() -> None:
    """Run the clips on each class, compare, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--avx2", help="qemu-x86_64 of this machine; without it no such class")
    parser.add_argument("--aarch64", help="qemu-aarch64; PROCESSORS_ROOT and _SITE say with what")
    parser.add_argument("--record", nargs="*", metavar="SEED")
    parser.add_argument("place", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that emulators end with it
    golden = json.loads(GOLDEN.read_text()) if options.record is None else {}
    seeds = options.record or [clip for clip in golden["sha256"] if clip.isdigit()]
    say(f"this machine: {here()}")
    python = sys.executable
    first = Run(NATIVE, [python], options.place, seeds).result()
    if options.record is not None:
        record(first)
        return
    runs = []
    if options.avx2:
        runs.append(Run(AVX2, [options.avx2, "-cpu", "Haswell", python], options.place, seeds))
    if options.aarch64:
        root = os.environ["PROCESSORS_ROOT"]
        prefix = [options.aarch64, "-cpu", "neoverse-n1", "-L", root, f"{root}/usr/bin/python3.11"]
        runs.append(Run(ARM, prefix, options.place, seeds))
    try:
        results = [first, *(run.result() for run in runs)]
    finally:
        for run in runs:
            run.end()
    wrong = [line for each in results for line in differences(golden, each)]
    for each in results:
        far = ", ".join(f"{model} {each.rms(model):.3f}" for model in each.models)
        say(f"{each.name}: {len(golden['sha256'])} clips, {each.took_s:.0f} s; int8 to fp32: {far}")
        if each is not first:
            say("\n".join(rows(first, each)))
    if wrong:
        say("\n".join(wrong))
        sys.exit(f"FAILED: processors: {len(wrong)} differences in words or spans")
    say(f"classes with the same words and spans: {len(results)}")


if __name__ == "__main__":
    main()
