"""File in, text out: we beside onnx-asr 0.12, same weights (e2e RNN-T of v3 size), same files.

Usage: benchmarks/run pipeline -- [--only short|long] [--minutes M] [--repeats R] [--threads T]
           [--cuts equal default] [--ours fp32 int8] [--rivals fp32 int8]

Short: a file of 20 s, which both read in one piece. Long: `default` is onnx-asr with its Silero
VAD as it comes, `equal` is onnx-asr given exactly the chunks that our planner made (cutting costs
it nothing then, and us the VAD). Bars: short fp32 1.3, int8 3.5 to its fp32 and 3.3 to its int8;
long 5 to its default, 1.3 and 3.5 at equal chunks. Ratios are of works that take turns in one
process. An hour in some ten quiet minutes: --only long --minutes 60 --repeats 1 --cuts default
--ours int8 --rivals fp32.
"""

from __future__ import annotations

import argparse
import difflib
import io
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import recordings
import report
import rival
import turns
import v3

from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.segmentation.cutter import Cutter
from glagol.speech.types import SAMPLE_RATE, Array

SHORT_S = 20
HOUR = 60
"""Minutes from which on the figures are stored beside those of a shorter recording."""

SIDES, PRECISIONS = ("ours", "rivals"), ("fp32", "int8")
Texts = dict[str, str]
Works = dict[str, Callable[[], object]]


def recognisers(options: argparse.Namespace) -> dict[str, Recognizer]:
    """Ours, by precision."""
    registry = Registry.load(v3.ours(), trust=Trust.receipt)
    return {
        name: Recognizer.open(registry, variant=variant, runtime=Runtime(threads=options.threads))
        for variant, name in v3.VARIANTS.items()
        if name in options.ours
    }


def rivals(options: argparse.Namespace) -> dict[str, Any]:
    """onnx-asr's models, by precision."""
    return {
        name: rival.load(None if name == "fp32" else name, options.threads)
        for name in options.rivals
    }


def samples_of(path: Path) -> Array:
    """A 16-bit WAV file, float32 [N]."""
    with wave.open(str(path), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def chunks_of(recognizer: Recognizer, path: Path) -> list[Array]:
    """The windows that our planner gives the encoder, float32 [n] each."""
    cutter = Cutter(recognizer.vad, rule=recognizer.rule, short_s=30.0)
    with path.open("rb") as file:
        return [p.samples for p in cutter.pieces(decode(file, max_seconds=1e5)) if p is not None]


def agreement(texts: Texts, to: str) -> dict[str, float]:
    """How alike the texts are to one of them: matching characters of both, 0 to 1."""
    match = difflib.SequenceMatcher
    return {
        name: round(match(None, text, texts[to], autojunk=False).ratio(), 4)
        for name, text in texts.items()
    }


def short(
    own: dict[str, Recognizer], folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """A file of 20 s."""
    path = recordings.write(folder / "short.wav", SHORT_S)
    data = path.read_bytes()
    works: Works = {
        f"glagol {name}": lambda r=r: r.transcribe(io.BytesIO(data)).text for name, r in own.items()
    }
    for name, model in rivals(options).items():
        works[f"onnx-asr {name}"] = lambda m=model: m.recognize(str(path))
    rows = compared(works, SHORT_S, options.repeats)
    texts = {name: str(work()) for name, work in works.items()}
    rows["alike"] = agreement(texts, f"onnx-asr {options.rivals[0]}")
    return rows


def compared(
    works: Works, audio_s: float, repeats: int, *, warm: bool = False
) -> dict[str, object]:
    """Times with ratios to onnx-asr, under `vs_fp32` and `vs_int8` by its precision."""
    times = turns.take_turns(works, repeats, warm=warm)
    return {
        f"vs_{name.removeprefix('onnx-asr ')}": turns.table(times, audio_s, name)
        for name in works
        if name.startswith("onnx-asr ")
    }


def long(
    own: dict[str, Recognizer], folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """A long recording, with its own cutting and with ours."""
    seconds = options.minutes * 60
    path = recordings.write(folder / "long.wav", seconds)
    found: dict[str, object] = {"minutes": options.minutes}
    mine: Works = {
        f"glagol {name}": lambda r=r: r.transcribe(path.open("rb")).text for name, r in own.items()
    }
    models, warm = rivals(options), False
    if "equal" in options.cuts:
        chunks = chunks_of(next(iter(own.values())), path)
        found |= {"chunks": len(chunks), "chunks_s": round(sum(map(len, chunks)) / SAMPLE_RATE, 1)}
        equal: Works = {
            f"onnx-asr {name}": lambda m=m: [m.recognize(chunk) for chunk in chunks]
            for name, m in models.items()
        }
        found["equal"] = compared({**mine, **equal}, seconds, options.repeats)
        warm = True
    if "default" in options.cuts:
        samples, vad = samples_of(path), rival.load_vad(1)
        cut: Works = {
            f"onnx-asr {name}": lambda m=m: [s.text for s in m.with_vad(vad)
                                             .recognize(samples)]
            for name, m in models.items()
        }  # fmt: skip
        if not warm:  # a minute each, and not an hour
            first = recordings.write(folder / "first.wav", 60).read_bytes()
            for r in own.values():
                r.transcribe(io.BytesIO(first))
            for m in models.values():
                list(m.with_vad(vad).recognize(samples[: 60 * SAMPLE_RATE]))
        found["default"] = compared({**mine, **cut}, seconds, options.repeats, warm=True)
        pieces = next(iter(vad.segment_batch(samples[None], np.array([len(samples)]), 16_000)))
        found["default_pieces"] = len(list(pieces))
    return found


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", choices=("short", "long"))
    for name, choices in (("cuts", ("equal", "default")), *((n, PRECISIONS) for n in SIDES)):
        parser.add_argument(f"--{name}", nargs="+", choices=choices, default=choices)
    options = parser.parse_args()
    own = recognisers(options)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.only != "long":
            figures = short(own, folder, options)
            report.write("files", {"threads": options.threads, "seconds": SHORT_S, **figures})
        if options.only != "short":
            options.repeats = min(options.repeats, 2)
            found = long(own, folder, options)
            name = "longform_v3" if options.minutes < HOUR else "longform_v3_hour"
            report.write(name, {"threads": options.threads, **found})


if __name__ == "__main__":
    main()
