"""Audio files made at test time: speech, and everything that people send by mistake."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from glagol.speech.audio.decode import decode

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "models/gigaam-nano/golden"
SENTENCE = "поставь будильник на восемь минут"
FLOAT, PCM = 3, 1


@cache
def clip() -> bytes:
    """Speech as a 16-bit WAV; see `samples`."""
    return wav(*samples())


@cache
def samples() -> tuple[npt.NDArray[np.float32], int]:
    """Speech as float32 [n] and its rate in Hz: the bundled clip, else one that espeak-ng says.

    Skips the test when neither is there.
    """
    for path in BUNDLED.glob("clip.*"):
        blocks = decode(io.BytesIO(path.read_bytes()), max_seconds=60.0)
        return np.concatenate(list(blocks)), 16_000
    if shutil.which("espeak-ng") is None:
        pytest.skip("neither the bundled clip nor espeak-ng is there")
    spoken = subprocess.run(
        ["espeak-ng", "-v", "ru", "-s", "150", "--stdout", SENTENCE],
        check=True,
        capture_output=True,
    ).stdout
    return np.frombuffer(spoken[44:], "<i2").astype(np.float32) / np.float32(32768), 22_050


def wav(data: npt.NDArray[np.float32], rate: int, *, kind: int = PCM) -> bytes:
    """A WAV file of float32 [n] or [n, channels] samples, as 16-bit PCM or 32-bit float."""
    channels = 1 if data.ndim == 1 else data.shape[1]
    if kind == FLOAT:
        body = np.asarray(data, "<f4").tobytes()
    else:
        body = (np.clip(data, -1, 1) * 32767).astype("<i2").tobytes()
    width = 4 if kind == FLOAT else 2
    frame = channels * width
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, 8 * width)
    return b"".join(
        [b"RIFF", struct.pack("<I", 36 + len(body)), b"WAVEfmt ", struct.pack("<I", 16), head]
        + [b"data", struct.pack("<I", len(body)), body]
    )


def resampled(rate: int, channels: int = 1) -> bytes:
    """The clip at another rate, the same in every channel."""
    data, old = samples()
    positions = np.arange(int(len(data) * rate / old)) * (old / rate)
    new = np.interp(positions, np.arange(len(data)), data).astype(np.float32)
    return wav(np.repeat(new[:, None], channels, axis=1) if channels > 1 else new, rate)


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """Zeros."""
    return wav(np.zeros(int(seconds * rate), np.float32), rate)


def not_finite() -> bytes:
    """A float WAV of NaN; a few among samples would be damage."""
    data = np.full(16_000, np.nan, np.float32)
    return wav(data, 16_000, kind=FLOAT)


def truncated() -> bytes:
    """The clip without its second half, its header unchanged."""
    return clip()[: len(clip()) // 2]


def video_without_sound() -> bytes:
    """A short MP4 with pictures only."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def long_speech(seconds: float) -> bytes:
    """The clip again and again with pauses of a second between, at 16 kHz."""
    data, rate = samples()
    once = np.concatenate([data, np.zeros(rate, np.float32)])
    return wav(np.tile(once, int(seconds * rate / len(once)) + 1), rate)


BAD = {
    "empty": (b"", "audio_empty"),
    "text": ("просто текст\n".encode() * 50, "audio_unreadable"),
    "not finite": (not_finite(), "audio_not_finite"),
    "too short": (silence(0.05), "audio_too_short"),
    "video": (video_without_sound(), "audio_without_sound"),
}
"""Input to error code; `truncated` needs the clip and is made where it is used."""
