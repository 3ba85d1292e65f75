"""Transcribe the clips of build/proof-processors on one processor, native or emulated.

run_clips.py OUT SEED...: writes OUT.json (texts, words, spans, digests of the clips, builds that
ran) and OUT.npz (what the encoders and the voice activity model gave). One process does everything,
as an emulator is slow at starting one. Where PROCESSORS_SOURCE names a folder, the models are built
first, into the store that GLAGOL_STORE names: a build refuses bytes that the manifest does not pin.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import patch

import clips
import numpy as np

from glagol.cli.main import main as glagol
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.runtime.session import open_session
from glagol.speech.engines.gigaam import engine
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.vad import families as detectors

CASES = [
    (model, variant)
    for model in ("gigaam-nano", "gigaam-nano-rnnt")
    for variant in ("cpu-fp32", "cpu-int8")
]
VAD = "silero-vad"
GOLDEN = "golden"


class Recorded:
    """An encoder's session that keeps what it gave last."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.last: np.ndarray[Any, Any] = np.empty(0)

    def run(self, *arguments: Any) -> Any:
        """As the session's."""
        found = self._session.run(*arguments)
        self.last = found[0][0, : found[1][0]]
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def recorder(registry: Registry, model: str, variant: str) -> tuple[Recognizer, Recorded]:
    """A recogniser, and what its encoder gave last."""
    kept: list[Recorded] = []

    def opened(*arguments: Any, **options: Any) -> Recorded:
        kept.append(Recorded(open_session(*arguments, **options)))
        return kept[0]

    with patch.object(engine, "open_session", opened):
        recognizer = Recognizer.open(
            registry, model=model, variant=variant, runtime=Runtime(threads=1)
        )
    return recognizer, kept[0]


def transcribed(recognizer: Recognizer, file: BinaryIO) -> dict[str, Any]:
    """Text and words of a recording."""
    transcript = recognizer.transcribe(file)
    words = [asdict(word) for segment in transcript.segments for word in segment.words]
    return {"text": transcript.text, "words": words}


def spans(registry: Registry, samples: clips.Samples) -> tuple[list[list[int]], Any]:
    """Where speech is in a recording, and the probability of each frame."""
    opened = registry.open(VAD)
    detector = detectors.load(opened)
    stream, machine = detector.stream(), detector.spans()
    sound = samples.astype(np.float32) / np.float32(32_768)
    active = [*stream.push(sound), *stream.finish()]
    probabilities = np.concatenate([each.probabilities for each in active])
    found = [*machine.push(probabilities.tolist()), *machine.finish(len(samples))]
    return [[span.start, span.end] for span in found], probabilities


def built(source: str) -> None:
    """Build the embedded models on this processor."""
    command = ["models", "build", "--missing", "--source", source, "--home", str(clips.ROOT)]
    if status := glagol(command):
        sys.exit(status)


def main() -> None:
    """Transcribe all clips with all models; write the results."""
    out, seeds = Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]]
    if source := os.environ.get("PROCESSORS_SOURCE"):
        built(source)
    store = os.environ.get("GLAGOL_STORE")
    registry = Registry.load(clips.ROOT, Path(store) if store else None)
    speech = clips.golden()
    sounds = {GOLDEN: speech, **{str(seed): clips.made(speech, seed) for seed in seeds}}
    files = {name: clips.wav(sound) for name, sound in sounds.items()}
    found: dict[str, Any] = {
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    }
    outputs = {}
    found["spans"], outputs["spans"] = spans(registry, clips.joined(list(sounds.values())))
    for model, variant in CASES:
        recognizer, encoder = recorder(registry, model, variant)
        found.setdefault("kernels", recognizer.provenance.kernels_sha256)
        found.setdefault("ran", {})[f"{model} {variant}"] = recognizer.provenance.variant
        case = found[f"{model} {variant}"] = {}
        for name, data in files.items():
            case[name] = transcribed(recognizer, io.BytesIO(data))
            outputs[f"{model} {variant} {name}"] = encoder.last
    out.with_suffix(".json").write_text(json.dumps(found, ensure_ascii=False))
    np.savez(out.with_suffix(".npz"), **outputs)


if __name__ == "__main__":
    main()
