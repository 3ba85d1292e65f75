"""File in, text out: we beside onnx-asr 0.12, same weights (e2e RNN-T of v3 size), same files.

Usage: benchmarks/run pipeline -- [--only short|long] [--minutes M] [--repeats R] [--threads T]

Short: a file of 20 s, which both read in one piece. Long: `default` is onnx-asr with its Silero
VAD as it comes, `equal` is onnx-asr given exactly the chunks that our planner made (cutting costs
it nothing then, and us the VAD). Bars: short fp32 1.3, int8 3.5 to its fp32 and 3.3 to its int8;
long 5 to its default, 1.3 and 3.5 at equal chunks. Ratios are of works that take turns in one
process.
"""

from __future__ import annotations

import argparse
import difflib
import io
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import recordings
import report
import rival
import turns
import v3

from glagol.registry.registry import Registry
from glagol.registry.store import Trust
from glagol.speech.audio import decode
from glagol.speech.cutter import Cutter
from glagol.speech.recognizer import Recognizer
from glagol.speech.types import SAMPLE_RATE, Array

SHORT_S = 20
Texts = dict[str, str]
Works = dict[str, Callable[[], object]]


def recognisers(threads: int) -> dict[str, Recognizer]:
    """Ours, by precision."""
    registry = Registry.load(v3.ours(), trust=Trust.receipt)
    return {
        name: Recognizer.open(registry, variant=variant, threads=threads)
        for variant, name in v3.VARIANTS.items()
    }


def samples_of(path: Path) -> Array:
    """A 16-bit WAV file, float32 [N]."""
    with wave.open(str(path), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def chunks_of(recognizer: Recognizer, path: Path) -> list[Array]:
    """The windows that our planner gives the encoder, float32 [n] each."""
    vad, parameters = recognizer._vad, recognizer._vad_parameters  # noqa: SLF001
    cutter = Cutter(vad, parameters, rule=recognizer.rule, short_s=30.0)
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
    own: dict[str, Recognizer], threads: int, folder: Path, repeats: int
) -> dict[str, object]:
    """A file of 20 s."""
    path = recordings.write(folder / "short.wav", SHORT_S)
    data = path.read_bytes()
    works: Works = {
        f"glagol {name}": lambda r=r: r.transcribe(io.BytesIO(data)).text for name, r in own.items()
    }
    for quantization in (None, "int8"):
        model = rival.load(quantization, threads)
        works[f"onnx-asr {quantization or 'fp32'}"] = lambda m=model: m.recognize(str(path))
    rows = compared(works, SHORT_S, repeats)
    texts = {name: str(work()) for name, work in works.items()}
    rows["alike"] = agreement(texts, "onnx-asr fp32")
    return rows


def compared(
    works: Works, audio_s: float, repeats: int, *, warm: bool = False
) -> dict[str, object]:
    """Times with ratios to onnx-asr in fp32 and, under `vs_int8`, in int8."""
    times = turns.take_turns(works, repeats, warm=warm)
    return {
        "vs_fp32": turns.table(times, audio_s, next(n for n in works if "asr fp32" in n)),
        "vs_int8": turns.table(times, audio_s, next(n for n in works if "asr int8" in n)),
    }


def long(
    own: dict[str, Recognizer], threads: int, folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """A long recording, with its own cutting and with ours."""
    seconds = options.minutes * 60
    path = recordings.write(folder / "long.wav", seconds)
    chunks = chunks_of(own["fp32"], path)
    samples, vad = samples_of(path), rival.load_vad(1)
    found: dict[str, object] = {
        "minutes": options.minutes,
        "chunks": len(chunks),
        "chunks_s": round(sum(map(len, chunks)) / SAMPLE_RATE, 1),
    }
    mine: Works = {
        f"glagol {name}": lambda r=r: r.transcribe(path.open("rb")).text for name, r in own.items()
    }
    models = {name: rival.load(q, threads) for name, q in (("fp32", None), ("int8", "int8"))}
    equal: Works = {
        f"onnx-asr {name}": lambda m=m: [m.recognize(chunk) for chunk in chunks]
        for name, m in models.items()
    }
    found["equal"] = compared({**mine, **equal}, seconds, options.repeats)
    if options.default:
        cut: Works = {
            f"onnx-asr {name}": lambda m=m: [s.text for s in m.with_vad(vad)
                                             .recognize(samples)]
            for name, m in models.items()
        }  # fmt: skip
        pieces = next(iter(vad.segment_batch(samples[None], np.array([len(samples)]), 16_000)))
        found["default"] = compared({**mine, **cut}, seconds, 1, warm=True)
        found["default_pieces"] = len(list(pieces))
    return found


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--no-default", dest="default", action="store_false")
    parser.add_argument("--only", choices=("short", "long"))
    options = parser.parse_args()
    own = recognisers(options.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.only != "long":
            figures = short(own, options.threads, folder, options.repeats)
            report.write("files", {"threads": options.threads, "seconds": SHORT_S, **figures})
        if options.only != "short":
            options.repeats = min(options.repeats, 2)
            found = long(own, options.threads, folder, options)
            report.write("longform_v3", {"threads": options.threads, **found})


if __name__ == "__main__":
    main()
