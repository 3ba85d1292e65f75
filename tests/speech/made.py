"""Sounds that the tests make for themselves."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import wave
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

Samples = npt.NDArray[np.float32]
RATE = 16_000


@cache
def spoken(text: str, voice: str = "ru") -> Samples:
    """A sentence by espeak-ng without the silence around it, float32 at 22050 Hz.

    Skips the test where espeak-ng is not installed.
    """
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    command = ["espeak-ng", "-v", voice, "--stdout", text]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    samples = np.frombuffer(data[44:], np.int16).astype(np.float32) / np.float32(32768)
    loud = np.flatnonzero(np.abs(samples) > 0.005)
    return samples[max(0, loud[0] - 200) : loud[-1] + 200]


def said(text: str, pause: float = 0.3) -> bytes:
    """A WAV file with one sentence between two pauses, seconds."""
    return wav(np.pad(spoken(text), round(pause * 22_050)), 22_050)


def tone(seconds: float, rate: int = RATE, amplitude: float = 0.3) -> Samples:
    """A 440 Hz sine."""
    time = np.arange(round(seconds * rate), dtype=np.float64) / rate
    return (amplitude * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def wav(samples: Samples, rate: int = RATE) -> bytes:
    """A 16-bit WAV file of mono [N] or interleaved [N, channels] samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def float_wav(samples: Samples, rate: int = RATE) -> bytes:
    """A 32-bit float WAV file (format tag 3), which can hold NaN."""
    data = samples.astype("<f4").tobytes()
    head = np.array([16, 3 | 1 << 16, rate, rate * 4, 4 | 32 << 16], "<u4").tobytes()
    size = (4 + 4 + len(head) + 8 + len(data)).to_bytes(4, "little")
    return b"RIFF" + size + b"WAVEfmt " + head + b"data" + len(data).to_bytes(4, "little") + data


def encoded(
    samples: Samples, rate: int, container: str, codec: str, *, bit_rate: int | None = None
) -> bytes:
    """A file of another format by FFmpeg; `container` is its name for the muxer."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", rate, stream.codec_context.frame_size or 4096
        )
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = rate
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return file.getvalue()


def silent_video() -> bytes:
    """An MP4 file with a picture and no sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            picture = np.zeros((64, 64, 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def golden(name: str) -> Any:
    """A JSON file of tests/speech/golden."""
    return json.loads((Path(__file__).parent / "golden" / name).read_text())
