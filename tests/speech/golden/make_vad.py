"""Make vad.flac and vad.json: what the real silero-vad package says about a clip of ours.

Needs espeak-ng, and an environment with torch, onnxruntime, av and silero-vad 6.2.3:

    python tests/speech/golden/make_vad.py

vad.flac is three espeak-ng sentences with pauses and faint noise, 16 kHz mono. vad.json holds the
probability of every 512 samples from `silero_vad.onnx` (the package's own ONNX path, one frame a
call) and the spans of `get_speech_timestamps` for several parameters.
"""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

HERE = Path(__file__).parent
TEXTS = ("привет как дела", "сегодня хорошая погода мы пойдем гулять в парк", "до свидания")
PAUSES = (0.7, 0.35, 2.0, 0.5)


def speech(text: str) -> np.ndarray:
    """One espeak-ng sentence, int16, resampled to 16 kHz by PyAV."""
    command = ["espeak-ng", "-v", "ru", "--stdout", text]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
    samples = np.frombuffer(data[44:], np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16000)
    blocks = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([block.to_ndarray()[0] for block in blocks])


def clip() -> np.ndarray:
    """The whole clip, int16."""
    pauses = [np.zeros(int(seconds * 16000), np.int16) for seconds in PAUSES]
    parts = itertools.chain(*zip(pauses, [*map(speech, TEXTS), pauses[0][:0]], strict=True))
    whole = np.concatenate(list(parts)) // 2
    noise = np.random.default_rng(0).integers(-20, 21, len(whole))
    return (whole + noise).astype(np.int16)


def write_flac(samples: np.ndarray) -> None:
    """Lossless, so that every decoder gives the same samples."""
    with av.open(str(HERE / "vad.flac"), "w") as container:
        stream = container.add_stream("flac", rate=16000)
        stream.layout = "mono"
        for start in range(0, len(samples), 4096):
            block = samples[None, start : start + 4096]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate = 16000
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Write both files."""
    samples = clip()
    write_flac(samples)
    audio = torch.from_numpy(samples.astype(np.float32) / 32768)
    model = load_silero_vad(onnx=True)
    padded = torch.nn.functional.pad(audio, (0, -len(audio) % 512))
    model.reset_states()
    probabilities = [model(frame, 16000).item() for frame in padded.reshape(-1, 512)]
    cases: tuple[dict[str, Any], ...] = (
        {},
        {"threshold": 0.7, "neg_threshold": 0.6, "speech_pad_ms": 0},
        {"min_silence_duration_ms": 500, "speech_pad_ms": 200},
        {"min_speech_duration_ms": 1000, "speech_pad_ms": 300},
        {"max_speech_duration_s": 1.5, "speech_pad_ms": 100},
    )
    spans = [
        {
            "parameters": case,
            "spans": [
                [found["start"], found["end"]]
                for found in get_speech_timestamps(audio, model, sampling_rate=16000, **case)
            ],
        }
        for case in cases
    ]
    result = {
        "samples": len(samples),
        "probabilities": [round(value, 6) for value in probabilities],
        "cases": spans,
    }
    (HERE / "vad.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
